/* Go: Status * as error, Text as string, Bytes as []byte, ids as []int64. */

/* ---- Status *: nil or an *Error; the Status is gone when the call is back ---- */
%insert(go_header) %{
// Error is what a failed call said.
type Error struct {
	Code         int
	Message      string
	Subject      string
	Line, Column int
}

func (e *Error) Error() string { return e.Message }

func failure(status SwigcptrStatus) error {
	if status == 0 {
		return nil
	}
	defer DeleteStatus(status)
	return &Error{status.Code(), status.Message(), status.Subject(), status.Line(), status.Column()}
}
%}
%typemap(gotype) autoround::Status * "error"
%typemap(imtype) autoround::Status * "uintptr"
%typemap(out) autoround::Status * %{ $result = $1; %}
%typemap(goout) autoround::Status * %{ $result = failure(SwigcptrStatus($1)) %}

/* ---- Text: borrowed from the Go string, which may have no address when it is empty; copied by a callback ---- */
%typemap(gotype) autoround::Text "string"
%typemap(in) autoround::Text %{
  $1.data = $input.p ? $input.p : "";
  $1.size = static_cast<size_t>($input.n);
%}
%typemap(directorin) autoround::Text %{
  $input.p = const_cast<char *>($1.data);
  $input.n = static_cast<intgo>($1.size);
%}
%typemap(godirectorin) autoround::Text %{ $result = strings.Clone($input) %}
%go_import("strings")

/* ---- Bytes: a slice over memory that Go does not own; the hand-written layer says how long ---- */
%typemap(gotype) autoround::Bytes "[]byte"
%typemap(imtype) autoround::Bytes "[]byte"
%typemap(out) autoround::Bytes %{
  $result.array = const_cast<void *>($1.data);
  $result.len = $result.cap = static_cast<intgo>($1.size);
%}
%typemap(goout) autoround::Bytes %{ $result = $1 %}

/* ---- texts out: Go copies them from where they lie; SWIG's own way is a third copy and draws a warning of go vet ---- */
%typemap(gotype) const char * "string"
%typemap(imtype) const char * "[]byte"
%typemap(out) const char * %{
  $result.array = const_cast<char *>($1);
  $result.len = $result.cap = $1 ? static_cast<intgo>(std::strlen($1)) : 0;
%}
%typemap(goout) const char * %{ $result = string($1) %}

/* ---- token ids: read in place ---- */
%typemap(gotype) (const int64_t *ids, size_t count) "[]int64"
%typemap(in) (const int64_t *ids, size_t count) %{
  $1 = static_cast<$1_ltype>($input.array);
  $2 = static_cast<size_t>($input.len);
%}

/* ---- elements of a tensor: read in place ---- */
%typemap(gotype) (const uint8_t *elements, size_t length) "[]byte"
%typemap(in) (const uint8_t *elements, size_t length) %{
  $1 = static_cast<$1_ltype>($input.array);
  $2 = static_cast<size_t>($input.len);
%}
