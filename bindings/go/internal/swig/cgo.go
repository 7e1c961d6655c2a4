// Package swig is generated from bindings/swig; programs use the package above it.
package swig

// #cgo pkg-config: autoround
// #cgo CXXFLAGS: -std=c++17
import "C"
