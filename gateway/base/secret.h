// Key material that wipes itself, compares in constant time and cannot be printed, and the locked
// memory in which tables of keys live.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gateway/base/bytes.h"
#include "gateway/base/result.h"

namespace penstock {

// Overwrites memory in a way that the compiler keeps.
inline void wipe(void* memory, size_t size_bytes) {
  if (size_bytes == 0) return;  // an empty span may be at no address, which memset must not see
  std::memset(memory, 0, size_bytes);
  __asm__ __volatile__("" : : "r"(memory) : "memory");
}
inline void wipe(MutableBytes bytes) { wipe(bytes.data(), bytes.size()); }
// For text that held keys, such as a configuration file: overwrites it, then empties it.
inline void wipe_text(std::string& text) {
  wipe(text.data(), text.size());
  text.clear();
}

// Time depends on the sizes only. Spans of different sizes are never equal.
[[nodiscard]] inline bool equal_constant_time(Bytes a, Bytes b) {
  if (a.size() != b.size()) return false;
  uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<uint8_t>(difference | (a[i] ^ b[i]));
  }
  __asm__ __volatile__("" : "+r"(difference));
  return difference == 0;
}

// N secret bytes. Copies are explicit by type (copying a Secret makes another Secret, which wipes
// itself too); there is no way to print one.
template <size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(const std::array<uint8_t, N>& bytes) : bytes_(bytes) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { wipe(bytes_.data(), N); }

  static constexpr size_t size() { return N; }
  // Requires from.size() == N.
  static Secret copy_of(Bytes from) {
    Secret secret;
    if (from.size() == N) std::memcpy(secret.bytes_.data(), from.data(), N);
    return secret;
  }

  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] MutableBytes mutable_bytes() { return bytes_; }
  [[nodiscard]] const uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] uint8_t* data() { return bytes_.data(); }
  [[nodiscard]] bool is_zero() const {
    const std::array<uint8_t, N> zeros{};
    return equal_constant_time(bytes_, zeros);
  }
  friend bool operator==(const Secret& a, const Secret& b) {
    return equal_constant_time(a.bytes_, b.bytes_);
  }

 private:
  std::array<uint8_t, N> bytes_{};
};

// Hands memory out as std::allocator does and wipes it before it goes back, so that a container
// that grows leaves nothing behind in its old room.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT: implicit by the allocator requirements
  T* allocate(size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* memory, size_t count) {
    wipe(memory, count * sizeof(T));
    std::allocator<T>().deallocate(memory, count);
  }
  friend bool operator==(const WipingAllocator&, const WipingAllocator&) { return true; }
};

// Secret bytes whose number is known at run time only: shared secrets, keys of negotiated
// algorithms. As Secret: copies are SecretBytes too, every one wipes itself, none can be printed. A
// moved-from one is empty.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size) : bytes_(size) {}  // zeros
  static SecretBytes copy_of(Bytes from) {
    SecretBytes secret(from.size());
    if (!from.empty()) std::memcpy(secret.data(), from.data(), from.size());
    return secret;
  }

  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] MutableBytes mutable_bytes() { return bytes_; }
  [[nodiscard]] const uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] uint8_t* data() { return bytes_.data(); }
  void append(Bytes more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  // What is cut off is wiped at once, what is added is zero.
  void resize(size_t size) {
    if (size < bytes_.size()) wipe(mutable_bytes().subspan(size));
    bytes_.resize(size);
  }
  void clear() { resize(0); }
  friend bool operator==(const SecretBytes& a, const SecretBytes& b) {
    return equal_constant_time(a.bytes_, b.bytes_);
  }

 private:
  std::vector<uint8_t, WipingAllocator<uint8_t>> bytes_;
};

// A private anonymous mapping for tables that hold keys: excluded from core dumps, never shared
// with another process, locked page by page as it is touched (a failing lock is reported by
// locked(), not fatal), huge pages where the kernel gives them. Zero-filled; unmapped and wiped at
// destruction.
class SecretArena {
 public:
  static Result<SecretArena> create(size_t size_bytes);
  SecretArena() = default;
  SecretArena(SecretArena&& other) noexcept;
  SecretArena& operator=(SecretArena&& other) noexcept;
  ~SecretArena();

  [[nodiscard]] uint8_t* data() const { return base_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool locked() const { return locked_; }

 private:
  void release();
  uint8_t* base_ = nullptr;
  size_t size_ = 0;
  bool locked_ = false;
};

}  // namespace penstock
