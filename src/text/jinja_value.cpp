// The heap of one render and its limits.
#include "text/jinja_value.h"

#include "base/error.h"

namespace chaski::jinja {

double Value::real() const {
  if (kind_ == Kind::kFloat) return float_;
  return static_cast<double>(integer());
}

void Heap::charge_text(size_t n_bytes) { charge_growth(0, n_bytes); }

void Heap::charge_growth(size_t have, size_t more) {
  check_text(have);
  check_text(more > limits_.text_bytes ? more : have + more);
  charge(1 + more / 64);
}

void Heap::check_text(size_t n_bytes) const {
  if (n_bytes > limits_.text_bytes) {
    fail(fmt::format("a text of {} bytes is over the limit of {} bytes", n_bytes, limits_.text_bytes));
  }
}

void Heap::fail(const std::string& message) const {
  throw Error(ErrorCode::kUsage, "template", fmt::format("{} (template line {})", message, line));
}

void Heap::out_of_steps() const {
  fail(fmt::format("the template did more work than the limit of {} steps allows", limits_.steps));
}

void Heap::out_of_bytes() const {
  fail(fmt::format("the template made more than the limit of {} bytes of values", limits_.heap_bytes));
}

Value Heap::text(MarkedText text) {
  charge_text(text.footprint());
  charge_bytes(sizeof(MarkedText) + text.footprint());
  texts_.push_back(std::move(text));
  return Value::of(&texts_.back());
}

const MarkedText* Heap::name(std::string_view bytes) {
  bytes = bytes.substr(0, 200);
  charge_bytes(sizeof(MarkedText) + bytes.size());
  texts_.emplace_back(std::string(bytes));
  return &texts_.back();
}

List* Heap::list(ListFlavour flavour) {
  charge(1);
  charge_bytes(sizeof(List));
  lists_.emplace_back();
  lists_.back().flavour = flavour;
  return &lists_.back();
}

List* Heap::list(ListFlavour flavour, std::vector<Value> items) {
  charge_items(items.size());
  List* result = list(flavour);
  result->items = std::move(items);
  return result;
}

Dict* Heap::dict() {
  charge(1);
  charge_bytes(sizeof(Dict));
  return &dicts_.emplace_back();
}

Namespace* Heap::name_space() {
  charge(1);
  charge_bytes(sizeof(Namespace));
  return &namespaces_.emplace_back();
}

Callable* Heap::callable(const Callable& callable) {
  charge(1);
  charge_bytes(sizeof(Callable));
  callables_.push_back(callable);
  return &callables_.back();
}

Loop* Heap::loop() {
  charge(1);
  charge_bytes(sizeof(Loop));
  return &loops_.emplace_back();
}

}  // namespace chaski::jinja
