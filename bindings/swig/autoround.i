/* The generated layer of every language: the headers that facade.hpp includes, as SWIG reads them. README.md lists the typemaps and what each fragment owes. */
%module(directors="1") autoround
%{
#include "facade.hpp"
%}
%include "stdint.i"

%feature("director") autoround::Observer;
%ignore autoround::Text;
%ignore autoround::Bytes;

#if defined(SWIGGO)
%include "go.i"
#elif defined(SWIGJAVA)
%include "java.i"
#elif defined(SWIGCSHARP)
%include "csharp.i"
#else
#error "no fragment for this language"
#endif

%nodefaultctor autoround::Status;
%include "facade_base.hpp"
%include "facade_library.hpp"
%include "facade_tensor.hpp"
%include "facade_options.hpp"
%include "facade_model.hpp"
%include "facade_session.hpp"
%include "facade_layer.hpp"
