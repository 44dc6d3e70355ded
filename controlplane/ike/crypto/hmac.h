// HMAC-SHA2 of OpenSSL. Internal to this folder.
#pragma once

#include "gateway/base/bytes.h"

namespace penstock::ike {

enum class HashId : uint8_t { kSha256, kSha384, kSha512 };

// One HMAC context of this thread, keyed until the next begin(). OpenSSL failing here means that
// memory or the library is gone: the process ends rather than go on with wrong keys.
class Hmac {
 public:
  explicit Hmac(HashId hash);  // takes the thread's context of this hash: one at a time
  void begin(Bytes key);
  void restart();  // the same key again
  void add(Bytes data);
  // Writes the first out.size() bytes of the result.
  void end(MutableBytes out);

 private:
  struct Context;
  static Context& context_of(HashId hash);
  Context& context_;
};

}  // namespace penstock::ike
