#include "controlplane/ike/crypto/dh.h"

#include <openssl/obj_mac.h>

#include <algorithm>
#include <array>

#include "controlplane/crypto/x25519.h"
#include "controlplane/ike/crypto/openssl_handles.h"

namespace penstock::ike {
namespace {

using openssl::Owned;

struct ModpGroup {
  DhGroup group;
  size_t bytes;
  size_t exponent_bytes;  // RFC 3526 section 8: twice the strength and more
  BIGNUM* (*prime)(BIGNUM*);
};
constexpr ModpGroup kModp[] = {
    {DhGroup::kModp2048, 256, 40, BN_get_rfc3526_prime_2048},
    {DhGroup::kModp3072, 384, 56, BN_get_rfc3526_prime_3072},
    {DhGroup::kModp4096, 512, 64, BN_get_rfc3526_prime_4096},
};

struct EcpGroup {
  DhGroup group;
  size_t field_bytes;
  int nid;
};
constexpr EcpGroup kEcp[] = {
    {DhGroup::kEcp256, 32, NID_X9_62_prime256v1},
    {DhGroup::kEcp384, 48, NID_secp384r1},
    {DhGroup::kEcp521, 66, NID_secp521r1},
};

const ModpGroup* modp_of(DhGroup group) {
  for (const ModpGroup& each : kModp) {
    if (each.group == group) return &each;
  }
  return nullptr;
}
const EcpGroup* ecp_of(DhGroup group) {
  for (const EcpGroup& each : kEcp) {
    if (each.group == group) return &each;
  }
  return nullptr;
}

Owned<BIGNUM> number_of(Bytes bytes) {
  return Owned<BIGNUM>(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
}
Owned<BIGNUM> secret_number_of(Bytes bytes) {
  Owned<BIGNUM> number = number_of(bytes);
  if (number != nullptr) BN_set_flags(number.get(), BN_FLG_CONSTTIME);
  return number;
}

// The prime and what multiplies fast modulo it; made once per group, read by all threads.
struct Modulus {
  explicit Modulus(const ModpGroup& group)
      : prime(group.prime(nullptr)), montgomery(BN_MONT_CTX_new()) {
    const Owned<BN_CTX> context(BN_CTX_new());
    ok = prime != nullptr && montgomery != nullptr && context != nullptr &&
         BN_MONT_CTX_set(montgomery.get(), prime.get(), context.get()) == 1;
  }
  Owned<BIGNUM> prime;
  Owned<BN_MONT_CTX> montgomery;
  bool ok = false;
};
const Modulus& modulus_of(const ModpGroup& group) {
  static const std::array<Modulus, std::size(kModp)> all = {Modulus(kModp[0]), Modulus(kModp[1]),
                                                            Modulus(kModp[2])};
  return all[static_cast<size_t>(&group - kModp)];
}

// base ^ private mod p, with as many bytes as p.
Result<SecretBytes, DhFault> modp_power(const ModpGroup& group, const BIGNUM* base,
                                        const SecretBytes& private_key) {
  const Modulus& modulus = modulus_of(group);
  const Owned<BN_CTX> context(BN_CTX_new());
  const Owned<BIGNUM> exponent = secret_number_of(private_key.bytes());
  const Owned<BIGNUM> power(BN_new());
  SecretBytes out(group.bytes);
  const bool done =
      modulus.ok && context != nullptr && exponent != nullptr && power != nullptr &&
      BN_mod_exp_mont_consttime(power.get(), base, exponent.get(), modulus.prime.get(),
                                context.get(), modulus.montgomery.get()) == 1 &&
      BN_bn2binpad(power.get(), out.data(), static_cast<int>(out.size())) >= 0;
  if (!done) return DhFault::kInternal;
  return out;
}

Result<SecretBytes, DhFault> modp_shared(const ModpGroup& group, const SecretBytes& private_key,
                                         Bytes peer_public) {
  const Modulus& modulus = modulus_of(group);
  const Owned<BIGNUM> peer = number_of(peer_public);
  const Owned<BIGNUM> highest(modulus.ok ? BN_dup(modulus.prime.get()) : nullptr);
  if (peer == nullptr || highest == nullptr || BN_sub_word(highest.get(), 2) != 1) {
    return DhFault::kInternal;
  }
  // RFC 6989 2.1: 1 < r < p - 1.
  if (BN_is_zero(peer.get()) || BN_is_one(peer.get()) || BN_cmp(peer.get(), highest.get()) > 0) {
    return DhFault::kPublicValue;
  }
  return modp_power(group, peer.get(), private_key);
}

Result<ByteVector, DhFault> modp_public(const ModpGroup& group, const SecretBytes& private_key) {
  const Owned<BIGNUM> two(BN_new());
  if (two == nullptr || BN_set_word(two.get(), 2) != 1) return DhFault::kInternal;
  PENSTOCK_TRY(const SecretBytes power, modp_power(group, two.get(), private_key));
  return to_vector(power.bytes());
}

const EC_GROUP* curve_of(const EcpGroup& group) {
  static const std::array<Owned<EC_GROUP>, std::size(kEcp)> all = {
      Owned<EC_GROUP>(EC_GROUP_new_by_curve_name(kEcp[0].nid)),
      Owned<EC_GROUP>(EC_GROUP_new_by_curve_name(kEcp[1].nid)),
      Owned<EC_GROUP>(EC_GROUP_new_by_curve_name(kEcp[2].nid))};
  return all[static_cast<size_t>(&group - kEcp)].get();
}

// The coordinates of a point that we computed, each with the size of the field.
bool write_coordinates(const EC_GROUP* curve, const EC_POINT* point, BN_CTX* context,
                       MutableBytes x_out, MutableBytes y_out) {
  const Owned<BIGNUM> x(BN_new());
  const Owned<BIGNUM> y(BN_new());
  return x != nullptr && y != nullptr &&
         EC_POINT_get_affine_coordinates(curve, point, x.get(), y.get(), context) == 1 &&
         BN_bn2binpad(x.get(), x_out.data(), static_cast<int>(x_out.size())) >= 0 &&
         (y_out.empty() ||
          BN_bn2binpad(y.get(), y_out.data(), static_cast<int>(y_out.size())) >= 0);
}

Result<ByteVector, DhFault> ecp_public(const EcpGroup& group, const SecretBytes& private_key) {
  const EC_GROUP* curve = curve_of(group);
  const Owned<BN_CTX> context(BN_CTX_new());
  const Owned<BIGNUM> scalar = secret_number_of(private_key.bytes());
  if (curve == nullptr || context == nullptr || scalar == nullptr) return DhFault::kInternal;
  const Owned<EC_POINT> point(EC_POINT_new(curve));
  ByteVector out(2 * group.field_bytes);
  const MutableBytes both(out);
  const bool done =
      point != nullptr &&
      EC_POINT_mul(curve, point.get(), scalar.get(), nullptr, nullptr, context.get()) == 1 &&
      write_coordinates(curve, point.get(), context.get(), both.first(group.field_bytes),
                        both.last(group.field_bytes));
  if (!done) return DhFault::kInternal;
  return out;
}

Result<SecretBytes, DhFault> ecp_shared(const EcpGroup& group, const SecretBytes& private_key,
                                        Bytes peer_public) {
  const EC_GROUP* curve = curve_of(group);
  const Owned<BN_CTX> context(BN_CTX_new());
  const Owned<BIGNUM> scalar = secret_number_of(private_key.bytes());
  const Owned<BIGNUM> x = number_of(peer_public.first(group.field_bytes));
  const Owned<BIGNUM> y = number_of(peer_public.last(group.field_bytes));
  if (curve == nullptr || context == nullptr || scalar == nullptr || x == nullptr || y == nullptr) {
    return DhFault::kInternal;
  }
  // RFC 6989 2.3: both coordinates below the prime, the point on the curve. OpenSSL checks the
  // latter when it sets the point. These curves have cofactor 1: there are no small subgroups.
  const BIGNUM* field = EC_GROUP_get0_field(curve);
  if (BN_cmp(x.get(), field) >= 0 || BN_cmp(y.get(), field) >= 0) return DhFault::kPublicValue;
  const Owned<EC_POINT> peer(EC_POINT_new(curve));
  const Owned<EC_POINT> product(EC_POINT_new(curve));
  if (peer == nullptr || product == nullptr) return DhFault::kInternal;
  if (EC_POINT_set_affine_coordinates(curve, peer.get(), x.get(), y.get(), context.get()) != 1) {
    return DhFault::kPublicValue;
  }
  SecretBytes out(group.field_bytes);  // RFC 5903 7: the x coordinate
  const bool done =
      EC_POINT_mul(curve, product.get(), nullptr, peer.get(), scalar.get(), context.get()) == 1 &&
      EC_POINT_is_at_infinity(curve, product.get()) == 0 &&
      write_coordinates(curve, product.get(), context.get(), out.mutable_bytes(), {});
  if (!done) return DhFault::kInternal;
  return out;
}

// A scalar in 1 .. n - 1 from more random bytes than it has (FIPS 186-5 A.3.1): no bias that counts
// and no loop.
SecretBytes ecp_private(const EcpGroup& group, RandomSource& random) {
  SecretBytes scalar(group.field_bytes);
  SecretBytes wide(group.field_bytes + 8);
  random.fill(wide.mutable_bytes());
  const EC_GROUP* curve = curve_of(group);
  const Owned<BN_CTX> context(BN_CTX_new());
  const Owned<BIGNUM> number = secret_number_of(wide.bytes());
  const Owned<BIGNUM> below(curve != nullptr ? BN_dup(EC_GROUP_get0_order(curve)) : nullptr);
  const Owned<BIGNUM> reduced(BN_new());
  if (context == nullptr || number == nullptr || below == nullptr || reduced == nullptr ||
      BN_sub_word(below.get(), 1) != 1 ||
      BN_mod(reduced.get(), number.get(), below.get(), context.get()) != 1 ||
      BN_add_word(reduced.get(), 1) != 1 ||
      BN_bn2binpad(reduced.get(), scalar.data(), static_cast<int>(scalar.size())) < 0) {
    scalar.clear();  // whoever uses it gets kInternal
  }
  return scalar;
}

}  // namespace

size_t dh_public_bytes(DhGroup group) {
  if (group == DhGroup::kCurve25519) return 32;
  if (const ModpGroup* modp = modp_of(group)) return modp->bytes;
  if (const EcpGroup* ecp = ecp_of(group)) return 2 * ecp->field_bytes;
  return 0;
}

std::optional<DhGroup> dh_group_of(uint16_t id) {
  const DhGroup group{id};
  if (dh_public_bytes(group) == 0) return std::nullopt;
  return group;
}

const char* to_string(DhFault fault) {
  switch (fault) {
    case DhFault::kUnknownGroup:
      return "a group that we do not have";
    case DhFault::kPublicSize:
      return "public value of a wrong size for its group";
    case DhFault::kPublicValue:
      return "public value outside the group (RFC 6989)";
    case DhFault::kZeroResult:
      return "public value of low order";
    case DhFault::kInternal:
      return "the library failed";
  }
  return "unknown";
}

SecretBytes dh_private_key(DhGroup group, RandomSource& random) {
  if (const EcpGroup* ecp = ecp_of(group)) return ecp_private(*ecp, random);
  const ModpGroup* modp = modp_of(group);
  SecretBytes key(modp != nullptr ? modp->exponent_bytes : 32);
  random.fill(key.mutable_bytes());
  // An exponent of full length, never zero or one.
  if (modp != nullptr) key.data()[0] = static_cast<uint8_t>(key.data()[0] | 0x80);
  return key;
}

Result<ByteVector, DhFault> dh_public_value(DhGroup group, const SecretBytes& private_key) {
  if (private_key.empty()) return DhFault::kInternal;
  if (const ModpGroup* modp = modp_of(group)) return modp_public(*modp, private_key);
  if (const EcpGroup* ecp = ecp_of(group)) return ecp_public(*ecp, private_key);
  if (group != DhGroup::kCurve25519) return DhFault::kUnknownGroup;
  if (private_key.size() != 32) return DhFault::kInternal;
  return to_vector(x25519_public(Secret<32>::copy_of(private_key.bytes())));
}

Result<SecretBytes, DhFault> dh_shared_secret(DhGroup group, const SecretBytes& private_key,
                                              Bytes peer_public) {
  if (dh_public_bytes(group) == 0) return DhFault::kUnknownGroup;
  if (peer_public.size() != dh_public_bytes(group)) return DhFault::kPublicSize;
  if (private_key.empty()) return DhFault::kInternal;
  if (const ModpGroup* modp = modp_of(group)) return modp_shared(*modp, private_key, peer_public);
  if (const EcpGroup* ecp = ecp_of(group)) return ecp_shared(*ecp, private_key, peer_public);
  if (private_key.size() != 32) return DhFault::kInternal;
  X25519Public point{};
  std::copy(peer_public.begin(), peer_public.end(), point.begin());
  Secret<32> shared;
  if (!x25519(Secret<32>::copy_of(private_key.bytes()), point, shared)) {
    return DhFault::kZeroResult;
  }
  return SecretBytes::copy_of(shared.bytes());
}

}  // namespace penstock::ike
