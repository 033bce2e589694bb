// A large array that is written once: on huge pages, which random writes to all of it need as much as gathers do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "memory.h"

namespace degreequant {

template <typename T>
class Array {
 public:
  // Makes it hold `size` zeros; what it held is lost.
  void allocate(int64_t size) {
    const int64_t bytes = size * static_cast<int64_t>(sizeof(T));
    uint8_t* data = buffer_.reserve(bytes);
    if (bytes > 0) std::memset(data, 0, static_cast<size_t>(bytes));
    data_ = reinterpret_cast<T*>(data);
    size_ = size;
  }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  size_t size() const noexcept { return static_cast<size_t>(size_); }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](int64_t i) noexcept { return data_[i]; }
  const T& operator[](int64_t i) const noexcept { return data_[i]; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }

 private:
  Buffer buffer_;
  T* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace degreequant
