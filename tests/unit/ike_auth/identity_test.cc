#include "controlplane/ike/auth/identity.h"

#include <gtest/gtest.h>

#include "controlplane/ike/auth/distinguished_name.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

Identity parsed(std::string_view text) {
  auto identity = Identity::parse(text);
  EXPECT_TRUE(identity.ok()) << text << ": " << (identity.ok() ? "" : identity.error().text);
  return identity.ok() ? *identity : Identity();
}

TEST(Identity, text_is_read_and_printed_as_strongswan_does) {
  struct Row {
    std::string_view text;
    IdentityType type;
    std::string_view hex;
    std::string_view printed;
  };
  const Row rows[] = {
      {"%any", IdentityType::kAny, "", "%any"},
      {"", IdentityType::kAny, "", "%any"},
      {"*", IdentityType::kAny, "", "%any"},
      {"0.0.0.0", IdentityType::kAny, "", "%any"},
      {"::", IdentityType::kAny, "", "%any"},
      {"192.0.2.1", IdentityType::kIpv4Address, "c0000201", "192.0.2.1"},
      {"2001:db8::1", IdentityType::kIpv6Address, "20010db8000000000000000000000001",
       "2001:db8::1"},
      {"moon.strongswan.org", IdentityType::kFqdn, "6d6f6f6e2e7374726f6e677377616e2e6f7267",
       "moon.strongswan.org"},
      {"@moon", IdentityType::kFqdn, "6d6f6f6e", "moon"},
      {"@192.0.2.1", IdentityType::kFqdn, "3139322e302e322e31", "192.0.2.1"},
      {"a@b.c", IdentityType::kRfc822Address, "6140622e63", "a@b.c"},
      {"@@a@b.c", IdentityType::kRfc822Address, "6140622e63", "a@b.c"},
      {"@#0102fe", IdentityType::kKeyId, "0102fe", "01:02:fe"},
      {"@#01:02:fe", IdentityType::kKeyId, "0102fe", "01:02:fe"},
      {"@#102", IdentityType::kKeyId, "0102", "01:02"},
      {"keyid:group", IdentityType::kKeyId, "67726f7570", "group"},
      {"keyid:#67", IdentityType::kKeyId, "67", "g"},
      {"fqdn:192.0.2.1", IdentityType::kFqdn, "3139322e302e322e31", "192.0.2.1"},
      {"DNS:x", IdentityType::kFqdn, "78", "x"},
      {"email:x", IdentityType::kRfc822Address, "78", "x"},
      {"userfqdn:x", IdentityType::kRfc822Address, "78", "x"},
      {"rfc822:x", IdentityType::kRfc822Address, "78", "x"},
      {"ipv4:192.0.2.1", IdentityType::kIpv4Address, "c0000201", "192.0.2.1"},
      {"ipv4:#c0000201", IdentityType::kIpv4Address, "c0000201", "192.0.2.1"},
      {"ipv6:2001:db8::1", IdentityType::kIpv6Address, "20010db8000000000000000000000001",
       "2001:db8::1"},
      {"{11}:#aabb", IdentityType::kKeyId, "aabb", "aa:bb"},
      {"{2}:x", IdentityType::kFqdn, "78", "x"},
      {"not:an:address", IdentityType::kKeyId, "6e6f743a616e3a61646472657373", "not:an:address"},
      {"who=knows", IdentityType::kKeyId, "77686f3d6b6e6f7773", "who=knows"},
      {"DOMAIN\\user", IdentityType::kFqdn, "444f4d41494e5c75736572", "DOMAIN\\user"},
      {"C=CH, O=x y , CN=z", IdentityType::kDerAsn1Dn,
       "3027310b3009060355040613024348310c300a060355040a1303782079310a3008060355040313017a",
       "C=CH, O=x y, CN=z"},
  };
  for (const Row& row : rows) {
    const Identity identity = parsed(row.text);
    EXPECT_EQ(identity.type(), row.type) << row.text;
    EXPECT_EQ(identity.to_string(), row.printed) << row.text;
    EXPECT_EQ(to_hex(identity.data()), row.hex) << row.text;
  }
}

// Made with: pki --self --dn "C=CH, DC=org, E=a@b.c, O=a_b, L=Z, serialNumber=1, CN=*"
TEST(Identity, distinguished_name_has_the_encoding_that_strongswan_makes) {
  EXPECT_EQ(to_hex(parsed("C=CH, DC=org, E=a@b.c, O=a_b, L=Z, serialNumber=1, CN=*").data()),
            "306a310b300906035504061302434831133011060a0992268993f22c64011913036f72673114301206"
            "092a864886f70d01090116056140622e63310c300a060355040a0c03615f62310a3008060355040713"
            "015a310a30080603550405130131310a300806035504030c012a");
}

TEST(Identity, both_separators_of_names_are_read) {
  EXPECT_TRUE(parsed("/C=CH/O=a, b/CN=c") == parsed("/C=CH/O=a, b/CN=c/"));
  EXPECT_EQ(parsed("/C=CH/O=a, b/CN=c").to_string(), "C=CH, O=a, b, CN=c");
  EXPECT_EQ(parsed("CN=a/b").to_string(), "CN=a/b");
  EXPECT_TRUE(parsed("emailAddress=a@b, CN=x") == parsed("E=A@B, cn=X"));
}

TEST(Identity, text_beyond_the_bounds_is_refused) {
  EXPECT_FALSE(Identity::parse(std::string(3000, 'a')).ok());
  EXPECT_FALSE(Identity::parse(std::string_view("a\0b", 3)).ok());
  EXPECT_FALSE(Identity::parse("@#0g").ok());
  EXPECT_FALSE(Identity::parse("{99}:x").ok());
  EXPECT_FALSE(Identity::parse("ipv4:x").ok());
  EXPECT_FALSE(Identity::parse("ipv4:2001:db8::1").ok());
  EXPECT_FALSE(Identity::parse("ipv4:#c00002").ok());
  EXPECT_FALSE(Identity::parse("asn1dn:x").ok());
  EXPECT_FALSE(Identity::parse("asn1dn:#3000ff").ok());
  EXPECT_FALSE(Identity::parse("@").ok());
  std::string many;
  for (int i = 0; i < 70; ++i) many += "CN=a, ";
  EXPECT_NE(parsed(many + "CN=a").type(), IdentityType::kDerAsn1Dn);
}

TEST(Identity, wire_of_every_type_returns_what_went_in) {
  for (const auto* text :
       {"192.0.2.1", "2001:db8::1", "moon", "a@b", "C=CH, CN=x", "@#00ff", "asn1gn:#820178"}) {
    const Identity identity = parsed(text);
    const auto again = Identity::from_wire(static_cast<uint8_t>(identity.type()), identity.data());
    ASSERT_TRUE(again.ok()) << text;
    EXPECT_TRUE(*again == identity) << text;
    EXPECT_EQ(again->key(), identity.key());
  }
}

TEST(Identity, wire_with_wrong_lengths_zero_bytes_or_types_is_refused) {
  for (unsigned type = 0; type < 256; ++type) {
    const auto wire_type = static_cast<uint8_t>(type);
    EXPECT_FALSE(Identity::from_wire(wire_type, {}).ok()) << type;
    const ByteVector three = {0x78, 0x00, 0x79};
    EXPECT_EQ(Identity::from_wire(wire_type, three).ok(), type == 11) << type;
    EXPECT_FALSE(Identity::from_wire(wire_type, ByteVector(65535, 'a')).ok()) << type;
  }
  EXPECT_FALSE(Identity::from_wire(1, ByteVector(5)).ok());
  EXPECT_FALSE(Identity::from_wire(5, ByteVector(4)).ok());
  EXPECT_TRUE(Identity::from_wire(2, bytes_of("x")).ok());
}

TEST(Identity, every_mutation_of_a_name_parses_or_is_refused_without_harm) {
  const ByteVector name = to_vector(parsed("C=CH, O=x, CN=y").data());
  for (size_t i = 0; i < name.size(); ++i) {
    for (unsigned value = 0; value < 256; ++value) {
      ByteVector changed = name;
      changed[i] = static_cast<uint8_t>(value);
      const auto identity = Identity::from_wire(9, changed);
      if (identity.ok()) {
        EXPECT_FALSE(identity->to_string().empty());
        EXPECT_TRUE(*identity == *identity);
      }
    }
    EXPECT_FALSE(Identity::from_wire(9, Bytes(name).first(i)).ok());
  }
}

TEST(Identity, printed_text_has_no_control_characters) {
  const auto identity = Identity::from_wire(2, bytes_of("a\nb\x1b[31m\xff"));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->to_string(), "a?b?[31m?");
}

TEST(Identity, patterns_match_by_type_and_strength) {
  struct Row {
    std::string_view identity;
    std::string_view pattern;
    int strength;
  };
  const Row rows[] = {
      {"moon.x.org", "%any", kMatchAny},
      {"moon.x.org", "MOON.x.org", kMatchExact},
      {"moon.x.org", "*.x.org", kMatchOneWildcard},
      {"x.org", "*.x.org", kMatchNone},
      {"moon.x.org", "sun.x.org", kMatchNone},
      {"moon.x.org", "@@moon.x.org", kMatchNone},  // the type matters
      {"a@x.org", "*@x.org", kMatchOneWildcard},
      {"a@x.org", "fqdn:*@x.org", kMatchNone},
      {"a@x.org", "email:*", kMatchAny},
      {"192.0.2.1", "192.0.2.1", kMatchExact},
      {"192.0.2.1", "@192.0.2.1", kMatchNone},
      {"192.0.2.1", "192.0.2.2", kMatchNone},
      {"@#0102", "@#0102", kMatchExact},
      {"@#0102", "@#010203", kMatchNone},
      {"C=CH, O=x, CN=y", "C=CH, O=X, CN=y", kMatchExact},
      {"C=CH, O=x, CN=y", "C=CH, O=x, CN=*", kMatchOneWildcard},
      {"C=CH, O=x, CN=y", "C=CH, O=*, CN=*", kMatchOneWildcard - 1},
      {"C=CH, O=x, CN=y", "C=CH, CN=*", kMatchNone},
      {"C=CH, O=x, CN=y", "C=CH, CN=y, O=x", kMatchNone},
      {"C=CH, O=x, CN=*", "C=CH, O=x, CN=y", kMatchNone},  // wildcards of a peer are letters
      {"*.x.org", "moon.x.org", kMatchNone},
      {"C=CH, CN=y", "C=CH, O=x, CN=y", kMatchNone},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(parsed(row.identity).match(parsed(row.pattern)), row.strength)
        << row.identity << " against " << row.pattern;
  }
}

TEST(Identity, equal_identities_have_equal_keys_and_unequal_ones_do_not) {
  EXPECT_EQ(parsed("Moon.X").key(), parsed("moon.x").key());
  EXPECT_EQ(parsed("O=a_b, CN=X").key(), parsed("O=A_b, CN=x").key());
  EXPECT_NE(parsed("moon").key(), parsed("@@moon").key());
  EXPECT_NE(parsed("CN=ab, O=c").key(), parsed("CN=a, O=bc").key());
  EXPECT_NE(parsed("keyid:A").key(), parsed("keyid:a").key());
}

TEST(DistinguishedName, unknown_types_are_printed_dotted) {
  // 1.2.3.4 = "x"
  const auto der = from_hex("3010310e300c06032a03041305782d792d7a");
  ASSERT_TRUE(der);
  ASSERT_TRUE(name_is_valid(*der));
  EXPECT_EQ(name_to_text(*der), "1.2.3.4=x-y-z");
}

}  // namespace
}  // namespace penstock::ike
