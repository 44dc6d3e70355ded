// A hash of OpenSSL with its context. Looking an algorithm up and making a context cost more than
// hashing a short message does, so each thread does it once.
#pragma once

#include <memory>

#include "gateway/base/bytes.h"

struct evp_md_st;
struct evp_md_ctx_st;

namespace penstock {

// One message at a time. OpenSSL failing here means that memory or the library is gone: the process
// ends rather than go on with wrong keys.
class Digest {
 public:
  static constexpr size_t kMaxBytes = 64;        // of a hash
  static constexpr size_t kMaxBlockBytes = 128;  // of what it is computed in

  // Those of this thread.
  static Digest& sha1();
  static Digest& sha256();
  static Digest& sha384();
  static Digest& sha512();
  static Digest& blake2s();

  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] size_t block_bytes() const { return block_bytes_; }

  void begin();
  void add(Bytes data);
  // Writes bytes() bytes, which `out` must have. The state is wiped.
  void end(MutableBytes out);
  // All at once.
  void compute(Bytes data, MutableBytes out);

  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  ~Digest();

 private:
  explicit Digest(const char* name);
  evp_md_st* algorithm_;
  evp_md_ctx_st* context_;
  size_t bytes_, block_bytes_;
};

}  // namespace penstock
