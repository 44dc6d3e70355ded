// The arithmetic of MS-CHAPv2 (RFC 2759 section 8) and its session keys (RFC 3079 section 3). MD4
// and DES live here and nowhere else.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock::ike::mschapv2 {

using Challenge = std::array<uint8_t, 16>;
using NtHash = Secret<16>;
using NtResponse = std::array<uint8_t, 24>;

// All functions below require available(): MD4 of OpenSSL's legacy provider in a library context of
// its own, DES-EDE3, and the values of RFC 2759 section 9.2 come out. Loads the provider on first
// use: call it once before a sandbox closes the file system.
bool available();

// MD4 over the password in UTF-16LE. The password is UTF-8; if it is not, each byte is a character.
NtHash nt_password_hash(Bytes password);
// The user name without its domain.
std::array<uint8_t, 8> challenge_hash(const Challenge& peer, const Challenge& authenticator,
                                      std::string_view user_name);
NtResponse nt_response(const std::array<uint8_t, 8>& challenge, const NtHash& hash);
// "S=" and 40 upper case hex digits.
std::string authenticator_response(const NtHash& hash, const NtResponse& response,
                                   const std::array<uint8_t, 8>& challenge);
// MasterReceiveKey | MasterSendKey | 32 zero bytes, as the server names them.
SecretBytes master_session_key(const NtHash& hash, const NtResponse& response);

}  // namespace penstock::ike::mschapv2
