// The one place that includes Catch2. LibTorch's logging macros share names with Catch2's, so theirs go first.
#pragma once
#ifdef CHECK
#undef CHECK
#endif
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
