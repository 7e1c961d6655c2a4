/* Java: Status * as exception, Text as String, Bytes as direct ByteBuffer, ids as long[] or direct LongBuffer. */
%pragma(java) jniclasscode=%{
  static {
    NativeLoader.load();
  }
%}

/* ---- closing is the hand-written layer's: no finalizers; a null object is an exception and not a crash ---- */
%typemap(javafinalize) SWIGTYPE ""
%typemap(check) SWIGTYPE *self %{
  if (!$1) {
    SWIG_JavaThrowException(jenv, SWIG_JavaIllegalStateException, "object is closed");
    return $null;
  }
%}

/* ---- Status *: thrown by the Java side, so that no native frame runs on with an exception pending ---- */
%typemap(jni) autoround::Status * "jlong"
%typemap(jtype) autoround::Status * "long"
%typemap(jstype) autoround::Status * "void"
%typemap(javaout) autoround::Status * { Failure.check($jnicall); }

/* ---- Text: UTF-8 bytes. JNI's own strings are modified UTF-8, which is wrong for NUL and beyond U+FFFF ---- */
%typemap(jni) autoround::Text "jbyteArray"
%typemap(jtype) autoround::Text "byte[]"
%typemap(jstype) autoround::Text "String"
%typemap(javain) autoround::Text "($javainput == null ? null : $javainput.getBytes(java.nio.charset.StandardCharsets.UTF_8))"
%typemap(in) autoround::Text %{
  $1.data = nullptr;
  $1.size = 0;
  if ($input) {
    $1.data = reinterpret_cast<const char *>(jenv->GetByteArrayElements($input, nullptr));
    if (!$1.data) return $null; /* OutOfMemoryError is pending */
    $1.size = static_cast<size_t>(jenv->GetArrayLength($input));
  }
%}
%typemap(freearg) autoround::Text %{
  if ($1.data) jenv->ReleaseByteArrayElements($input, reinterpret_cast<jbyte *>(const_cast<char *>($1.data)), JNI_ABORT);
%}
/* The descriptor is that of the jstype: with another one the callback is silently never called. */
%typemap(directorin, descriptor="Ljava/lang/String;") autoround::Text %{
  $input = jenv->NewByteArray(static_cast<jsize>($1.size));
  if (!$input) return $null;
  Swig::LocalRefGuard $1_refguard(jenv, $input);
  jenv->SetByteArrayRegion($input, 0, static_cast<jsize>($1.size), reinterpret_cast<const jbyte *>($1.data));
%}
%typemap(javadirectorin) autoround::Text "new String($jniinput, java.nio.charset.StandardCharsets.UTF_8)"

/* ---- texts out ---- */
%typemap(jni) const char * "jbyteArray"
%typemap(jtype) const char * "byte[]"
%typemap(jstype) const char * "String"
%typemap(javaout) const char * { return Failure.text($jnicall); }
%typemap(out) const char * %{
  if ($1) {
    const jsize size = static_cast<jsize>(std::strlen($1));
    $result = jenv->NewByteArray(size);
    if ($result) jenv->SetByteArrayRegion($result, 0, size, reinterpret_cast<const jbyte *>($1));
  }
%}

/* ---- Bytes: a direct buffer over memory that Java does not own; the hand-written layer keeps the tensor alive ---- */
%typemap(jni) autoround::Bytes "jobject"
%typemap(jtype) autoround::Bytes "java.nio.ByteBuffer"
%typemap(jstype) autoround::Bytes "java.nio.ByteBuffer"
%typemap(javaout) autoround::Bytes { return $jnicall; }
%typemap(out) autoround::Bytes %{
  $result = $1.data ? jenv->NewDirectByteBuffer(const_cast<void *>($1.data), static_cast<jlong>($1.size)) : nullptr;
%}

/* ---- token ids: not GetPrimitiveArrayCritical, which stops the collector for as long as the call takes ---- */
%typemap(jni) (const int64_t *ids, size_t count) "jlongArray"
%typemap(jtype) (const int64_t *ids, size_t count) "long[]"
%typemap(jstype) (const int64_t *ids, size_t count) "long[]"
%typemap(javain) (const int64_t *ids, size_t count) "$javainput"
%typemap(in) (const int64_t *ids, size_t count) %{
  $1 = reinterpret_cast<$1_ltype>(jenv->GetLongArrayElements($input, nullptr));
  if (!$1) return $null;
  $2 = static_cast<size_t>(jenv->GetArrayLength($input));
%}
%typemap(freearg) (const int64_t *ids, size_t count) %{
  if ($1) jenv->ReleaseLongArrayElements($input, reinterpret_cast<jlong *>($1), JNI_ABORT);
%}

/* ---- elements of a tensor, as token ids are given ---- */
%typemap(jni) (const uint8_t *elements, size_t length) "jbyteArray"
%typemap(jtype) (const uint8_t *elements, size_t length) "byte[]"
%typemap(jstype) (const uint8_t *elements, size_t length) "byte[]"
%typemap(javain) (const uint8_t *elements, size_t length) "$javainput"
%typemap(in) (const uint8_t *elements, size_t length) %{
  $1 = reinterpret_cast<$1_ltype>(jenv->GetByteArrayElements($input, nullptr));
  if (!$1) return $null;
  $2 = static_cast<size_t>(jenv->GetArrayLength($input));
%}
%typemap(freearg) (const uint8_t *elements, size_t length) %{
  if ($1) jenv->ReleaseByteArrayElements($input, reinterpret_cast<jbyte *>($1), JNI_ABORT);
%}

/* ---- token ids in a direct LongBuffer of the machine's byte order, whole ---- */
%typemap(jni) (const int64_t *direct_ids, size_t count) "jobject"
%typemap(jtype) (const int64_t *direct_ids, size_t count) "java.nio.LongBuffer"
%typemap(jstype) (const int64_t *direct_ids, size_t count) "java.nio.LongBuffer"
%typemap(javain) (const int64_t *direct_ids, size_t count) "$javainput"
%typemap(in) (const int64_t *direct_ids, size_t count) %{
  $1 = static_cast<$1_ltype>(jenv->GetDirectBufferAddress($input));
  $2 = $1 ? static_cast<size_t>(jenv->GetDirectBufferCapacity($input)) : 0;
%}
%extend autoround::Calibration {
  autoround::Status *addDirectTokens(const int64_t *direct_ids, size_t count) noexcept { return $self->addTokens(direct_ids, count); }
}
