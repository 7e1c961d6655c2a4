/* C++ over autoround.h alone, in the shape that SWIG turns into Java, C# and Go. Users see the hand-written layer above it.
 *
 * - A class owns one handle, made by a fallible method and not by its constructor, and freed by its destructor.
 * - A fallible method gives an owned Status *, null when all went well; typemaps turn it into an exception or a Go error.
 * - Texts come in as Text, tensors go out as Bytes, other values go out through the holders NumberOut and TextOut.
 * - An observer is lent for one call and never stored. Nothing here throws.
 */
#ifndef AUTOROUND_FACADE_HPP
#define AUTOROUND_FACADE_HPP
#include "facade_library.hpp"
#include "facade_layer.hpp"
#endif
