#include "tests/unit/ike_eap/eap_peer.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <cstdio>
#include <cstdlib>

namespace penstock::ike::test {
namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "eap_peer: %s\n", what);
  std::abort();
}

OSSL_LIB_CTX* legacy() {
  static OSSL_LIB_CTX* context = [] {
    OSSL_LIB_CTX* made = OSSL_LIB_CTX_new();
    require(OSSL_PROVIDER_load(made, "legacy") != nullptr, "legacy provider");
    require(OSSL_PROVIDER_load(made, "default") != nullptr, "default provider");
    return made;
  }();
  return context;
}

ByteVector md4(Bytes text) {
  ByteVector out(16);
  size_t size = 0;
  require(EVP_Q_digest(legacy(), "MD4", nullptr, text.data(), text.size(), out.data(), &size) == 1,
          "MD4");
  return out;
}

ByteVector sha1(std::initializer_list<Bytes> parts) {
  ByteVector text;
  for (const Bytes part : parts) text.insert(text.end(), part.begin(), part.end());
  ByteVector out(20);
  SHA1(text.data(), text.size(), out.data());
  return out;
}

// Single DES of the legacy provider; the key's 56 bits are spread bit by bit.
ByteVector des(Bytes key7, Bytes block) {
  ByteVector key(8);
  for (size_t bit = 0; bit < 56; ++bit) {
    if ((key7[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    key[bit / 7] = static_cast<uint8_t>(key[bit / 7] | 0x80U >> (bit % 7));
  }
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(legacy(), "DES-ECB", nullptr);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  ByteVector out(16);
  int size = 0;
  require(cipher != nullptr &&
              EVP_EncryptInit_ex2(context, cipher, key.data(), nullptr, nullptr) == 1 &&
              EVP_EncryptUpdate(context, out.data(), &size, block.data(), 8) == 1 && size == 8,
          "DES");
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
  out.resize(8);
  return out;
}

ByteVector utf16_of_ascii(const std::string& text) {
  ByteVector out;
  for (const char c : text) {
    out.push_back(static_cast<uint8_t>(c));
    out.push_back(0);
  }
  return out;
}

ByteVector start_key(Bytes master, std::string_view magic) {
  const ByteVector pad1(40, 0x00);
  const ByteVector pad2(40, 0xf2);
  ByteVector key = sha1({master, pad1, bytes_of(magic), pad2});
  key.resize(16);
  return key;
}

}  // namespace

EapParts parts_of(Bytes packet) {
  EapParts parts;
  require(packet.size() >= 4, "packet too short");
  parts.code = packet[0];
  parts.identifier = packet[1];
  require(static_cast<size_t>(packet[2] << 8 | packet[3]) == packet.size(), "packet length");
  if (packet.size() > 4) {
    parts.type = packet[4];
    parts.data = to_vector(packet.subspan(5));
  }
  return parts;
}

ByteVector eap_response(uint8_t identifier, uint8_t type, Bytes data) {
  ByteVector out(5 + data.size());
  Writer writer(out);
  writer.u8(2);
  writer.u8(identifier);
  writer.be16(static_cast<uint16_t>(out.size()));
  writer.u8(type);
  writer.bytes(data);
  return out;
}

ByteVector Mschapv2Peer::answer(Bytes request) {
  require(request.size() >= 4, "MSCHAPv2 request");
  const uint8_t op = request[0];
  require(static_cast<size_t>(request[2] << 8 | request[3]) == request.size(), "MS-Length");
  const std::string text(text_of(request.subspan(4)));
  if (op == 3) {
    server_proved = text.substr(0, 42) == expected_proof_;
    return {static_cast<uint8_t>(server_proved && !refuse_proof ? 3 : 4)};
  }
  if (op == 4) {
    failure = text;
    return {4};
  }
  require(op == 1 && request.size() >= 21 && request[4] == 16, "MSCHAPv2 challenge");
  const Bytes server_challenge = request.subspan(5, 16);
  const ByteVector peer_challenge = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6};
  ByteVector challenge = sha1({peer_challenge, server_challenge, bytes_of(hashed_name_)});
  challenge.resize(8);
  const ByteVector hash = md4(utf16_of_ascii(password_));
  ByteVector padded = hash;
  padded.resize(21);
  ByteVector response;
  for (const size_t i : {0U, 7U, 14U}) {
    const ByteVector part = des(Bytes(padded).subspan(i, 7), challenge);
    response.insert(response.end(), part.begin(), part.end());
  }
  const ByteVector hash_hash = md4(hash);
  const ByteVector proof =
      sha1({sha1({hash_hash, response, bytes_of("Magic server to client signing constant")}),
            challenge, bytes_of("Pad to make it do more than one iteration")});
  expected_proof_ = "S=";
  for (const uint8_t byte : proof) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02X", byte);
    expected_proof_ += digits;
  }
  ByteVector master = sha1({hash_hash, response, bytes_of("This is the MPPE Master Key")});
  master.resize(16);
  msk_ = start_key(master,
                   "On the client side, this is the send key; on the server side, it is the "
                   "receive key.");
  const ByteVector second = start_key(
      master,
      "On the client side, this is the receive key; on the server side, it is the send key.");
  msk_.insert(msk_.end(), second.begin(), second.end());
  msk_.resize(64);

  ByteVector out(5 + 49 + name_.size());
  Writer writer(out);
  writer.u8(2);
  writer.u8(request[1]);
  writer.be16(static_cast<uint16_t>(out.size()));
  writer.u8(49);
  writer.bytes(peer_challenge);
  writer.zeros(8);
  writer.bytes(response);
  writer.u8(0);
  writer.bytes(bytes_of(name_));
  return out;
}

TlsPeer::TlsPeer(const TlsPeerOptions& options) : options_(options) {
  context_ = SSL_CTX_new(TLS_client_method());
  const int version_wanted = options.tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  SSL_CTX_set_min_proto_version(context_, version_wanted);
  SSL_CTX_set_max_proto_version(context_, version_wanted);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), options.server_root->native());
  X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(context_), kNow / kSecond);
  if (options.certificate != nullptr) {
    SSL_CTX_use_certificate(context_, options.certificate->native());
    SSL_CTX_use_PrivateKey(context_, options.certificate->key().native.get());
    for (const Entity* entity : options.chain) {
      SSL_CTX_add1_chain_cert(context_, entity->native());
    }
  }
  ssl_ = SSL_new(context_);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_);
}

TlsPeer::~TlsPeer() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

ByteVector TlsPeer::next_fragment() {
  const size_t left = outgoing_.size() - sent_;
  const size_t size = std::min(left, options_.fragment_max);
  const bool more = size < left;
  ByteVector out = {static_cast<uint8_t>(more ? 0x40 : 0)};
  if (sent_ == 0 && more) {
    out[0] = 0xc0;
    for (const int shift : {24, 16, 8, 0}) {
      out.push_back(static_cast<uint8_t>(outgoing_.size() >> shift));
    }
  }
  out.insert(out.end(), outgoing_.begin() + static_cast<ptrdiff_t>(sent_),
             outgoing_.begin() + static_cast<ptrdiff_t>(sent_ + size));
  sent_ += size;
  ++fragments_sent;
  return out;
}

ByteVector TlsPeer::answer(Bytes request) {
  require(!request.empty(), "EAP-TLS flags");
  const uint8_t flags = request[0];
  Bytes data = request.subspan((flags & 0x80) != 0 ? 5 : 1);
  if (sent_ < outgoing_.size()) {
    if (data.empty() && flags == 0) return next_fragment();
    failed = true;  // no acknowledgement of our fragment
    return {0};
  }
  if (!data.empty()) ++fragments_received;
  incoming_.insert(incoming_.end(), data.begin(), data.end());
  if ((flags & 0x40) != 0) return {0};
  BIO_write(SSL_get_rbio(ssl_), incoming_.data(), static_cast<int>(incoming_.size()));
  incoming_.clear();
  if (!handshake_done) {
    const int result = SSL_do_handshake(ssl_);
    if (result == 1) {
      handshake_done = true;
      version = SSL_version(ssl_);
    } else if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) {
      failed = true;
    }
  }
  if (handshake_done && !failed) {
    uint8_t byte = 1;
    const int got = SSL_read(ssl_, &byte, 1);
    if (got == 1) {
      commitment_seen = byte == 0;
    } else if (SSL_get_error(ssl_, got) != SSL_ERROR_WANT_READ) {
      failed = true;
    }
  }
  const size_t pending = BIO_ctrl_pending(SSL_get_wbio(ssl_));
  outgoing_.resize(pending);
  sent_ = 0;
  if (pending == 0) return {0};
  BIO_read(SSL_get_wbio(ssl_), outgoing_.data(), static_cast<int>(pending));
  return next_fragment();
}

ByteVector TlsPeer::msk() {
  ByteVector out(128);
  const uint8_t type = 13;
  const bool is13 = SSL_version(ssl_) == TLS1_3_VERSION;
  const std::string label = is13 ? "EXPORTER_EAP_TLS_Key_Material" : "client EAP encryption";
  require(SSL_export_keying_material(ssl_, out.data(), out.size(), label.data(), label.size(),
                                     is13 ? &type : nullptr, is13 ? 1 : 0, is13 ? 1 : 0) == 1,
          "export");
  out.resize(64);
  return out;
}

Run run_exchange(EapServer& server, PeerMethod& peer, const std::string& identity,
                 Nanoseconds now) {
  Run run;
  run.last = server.start();
  while (run.last.kind == EapStep::Kind::kRequest && run.requests < 200) {
    ++run.requests;
    const EapParts request = parts_of(run.last.packet);
    require(request.code == 1, "a request");
    ByteVector response;
    if (request.type == 1) {
      response = eap_response(request.identifier, 1, bytes_of(identity));
    } else if (request.type == peer.type()) {
      response = eap_response(request.identifier, peer.type(), peer.answer(request.data));
    } else {
      run.naked = true;
      const uint8_t wanted = peer.type();
      response = eap_response(request.identifier, 3, {&wanted, 1});
    }
    run.last = server.on_response(response, now);
  }
  return run;
}

}  // namespace penstock::ike::test
