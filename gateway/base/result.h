// Errors as values: Result<T> holds a T or an Error, and PENSTOCK_TRY hands an error on to the
// caller.
#pragma once

#include <cassert>
#include <cstdarg>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace penstock {

// A failure with a sentence that an operator understands. Where code has to tell failures apart,
// use Result<T, SomeEnum> with a commented enum instead.
struct Error {
  std::string text;
};

// Formats an Error as printf does.
[[gnu::format(printf, 1, 2)]] inline Error errorf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list copy;
  va_copy(copy, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, copy);
  va_end(copy);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  if (length > 0) std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  va_end(arguments);
  return Error{std::move(text)};
}

template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by intent
  Result(E error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by intent

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Requires ok().
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Requires !ok().
  const E& error() const& { return *std::get_if<1>(&state_); }
  E&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, E> state_;
};

template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  Result() = default;
  Result(E error) : error_(std::move(error)) {}  // NOLINT: implicit by intent
  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const E& error() const& { return *error_; }
  E&& error() && { return *std::move(error_); }

 private:
  std::optional<E> error_;
};

using Status = Result<void, Error>;

}  // namespace penstock

#define PENSTOCK_CONCAT_INNER(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_INNER(a, b)

// PENSTOCK_TRY(auto x, f()): x is the value, or the enclosing function returns the error.
#define PENSTOCK_TRY(declaration, expression)                           \
  auto PENSTOCK_CONCAT(penstock_try_, __LINE__) = (expression);         \
  if (!PENSTOCK_CONCAT(penstock_try_, __LINE__).ok())                   \
    return std::move(PENSTOCK_CONCAT(penstock_try_, __LINE__)).error(); \
  declaration = std::move(PENSTOCK_CONCAT(penstock_try_, __LINE__)).value()

// PENSTOCK_CHECK(f()): for results that carry no value.
#define PENSTOCK_CHECK(expression)                                        \
  do {                                                                    \
    auto penstock_status = (expression);                                  \
    if (!penstock_status.ok()) return std::move(penstock_status).error(); \
  } while (false)
