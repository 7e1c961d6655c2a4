/* C#: Status * as exception, Text as string, Bytes as the address of what was asked for, ids as long[]. size_t is long, as lengths are in .NET.
 * Run with -DSWIG_CSHARP_NO_{EXCEPTION,STRING,STRING_WITH_LENGTH}_HELPER: nothing here is pending in a thread, no text goes through ANSI. */
%pragma(csharp) imclassclassmodifiers="internal class"
%pragma(csharp) imclasscode=%{
  static $imclassname() {
    NativeLoader.Load();
  }
%}
%pragma(csharp) moduleclassmodifiers="internal class"
%typemap(csclassmodifiers) SWIGTYPE "internal class"

/* ---- size_t ---- */
%typemap(ctype) size_t "int64_t"
%typemap(imtype) size_t "long"
%typemap(cstype) size_t "long"
%typemap(csin) size_t "$csinput"
%typemap(csout) size_t { return $imcall; }
%typemap(in) size_t "$1 = static_cast<size_t>($input);"
%typemap(out) size_t "$result = static_cast<int64_t>($1);"

/* ---- Status *: thrown by the managed side, so that no native frame is left by an exception ---- */
%typemap(cstype) autoround::Status * "void"
%typemap(out) autoround::Status * "$result = $1;"
%typemap(csout) autoround::Status * { Failure.Check($imcall); }

/* ---- Text: a pointer to one, for the marshaller's own strings end at NUL ---- */
%typemap(ctype) autoround::Text "const autoround::Text *"
%typemap(imtype) autoround::Text "global::System.IntPtr"
%typemap(cstype) autoround::Text "string"
%typemap(csin, pre="    using (var text_$csinput = new Utf8($csinput)) {", terminator="    }") autoround::Text "text_$csinput.Pointer"
%typemap(in) autoround::Text "$1 = *$input;"
%typemap(directorin) autoround::Text "$input = &$1;"
%typemap(csdirectorin) autoround::Text "Utf8.Read($iminput)"

/* ---- texts out ---- */
%typemap(ctype) const char * "const char *"
%typemap(imtype) const char * "global::System.IntPtr"
%typemap(cstype) const char * "string"
%typemap(out) const char * "$result = $1;"
%typemap(csout) const char * { return Utf8.ReadToNul($imcall); }

/* ---- Bytes: an address; the caller knows the length it asked for and keeps the tensor alive ---- */
%typemap(ctype) autoround::Bytes "const void *"
%typemap(imtype) autoround::Bytes "global::System.IntPtr"
%typemap(cstype) autoround::Bytes "global::System.IntPtr"
%typemap(out) autoround::Bytes "$result = $1.data;"
%typemap(csout) autoround::Bytes { return $imcall; }

/* ---- token ids: a long[] is pinned for the call, not copied ---- */
%typemap(ctype) (const int64_t *ids, size_t count) "const int64_t *ids, int64_t"
%typemap(imtype) (const int64_t *ids, size_t count) "[global::System.Runtime.InteropServices.In] long[] ids, long"
%typemap(cstype) (const int64_t *ids, size_t count) "long[]"
%typemap(csin) (const int64_t *ids, size_t count) "$csinput, $csinput.LongLength"
%typemap(in) (const int64_t *ids, size_t count) %{ $1 = const_cast<$1_ltype>(ids); $2 = static_cast<size_t>($input); %}

/* ---- elements of a tensor, as token ids are given ---- */
%typemap(ctype) (const uint8_t *elements, size_t length) "const uint8_t *elements, int64_t"
%typemap(imtype) (const uint8_t *elements, size_t length) "[global::System.Runtime.InteropServices.In] byte[] elements, long"
%typemap(cstype) (const uint8_t *elements, size_t length) "byte[]"
%typemap(csin) (const uint8_t *elements, size_t length) "$csinput, $csinput.LongLength"
%typemap(in) (const uint8_t *elements, size_t length) %{ $1 = const_cast<$1_ltype>(elements); $2 = static_cast<size_t>($input); %}
