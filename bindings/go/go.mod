module github.com/libautoround/libautoround/bindings/go

go 1.24
