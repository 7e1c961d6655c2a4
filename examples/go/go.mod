module quantize

go 1.24

require github.com/libautoround/libautoround/bindings/go v0.1.0

replace github.com/libautoround/libautoround/bindings/go => ../../bindings/go
