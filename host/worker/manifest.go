package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pelletier/go-toml/v2"

	"github.com/wasmhost/wasmhost/abi"
)

// maxManifest is the largest manifest that is looked at, in bytes.
const maxManifest = 64 << 10

// ReadManifest returns the manifest in a module's custom section
// abi.ManifestSection, or nil when there is none. A field that the manifest
// does not have is an error: a misspelled request would ask for nothing.
func ReadManifest(wasm []byte) (*abi.Manifest, error) {
	section, err := customSection(wasm, abi.ManifestSection)
	if err != nil || section == nil {
		return nil, err
	}
	return decodeManifest(section)
}

// readSidecar reads a manifest that is written as TOML.
func readSidecar(text []byte) (*abi.Manifest, error) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, column := at.Position()
			return nil, fmt.Errorf("manifest: line %d, column %d: %w", row, column, err)
		}
		return nil, fmt.Errorf("manifest: %w", err)
	}
	section, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err) // inf and nan
	}
	return decodeManifest(section)
}

func decodeManifest(section []byte) (*abi.Manifest, error) {
	if len(section) > maxManifest {
		return nil, fmt.Errorf("manifest: %d bytes are more than the limit of %d", len(section), maxManifest)
	}
	var m abi.Manifest
	d := json.NewDecoder(bytes.NewReader(section))
	d.DisallowUnknownFields()
	d.UseNumber() // a self-test's payload
	if err := d.Decode(&m); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return nil, fmt.Errorf("manifest: %s is a %s, not a %s", wrong.Field, wrong.Value, wrong.Type)
		}
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("manifest: bytes behind the object")
	}
	if err := checkManifest(&m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return &m, nil
}

var errNotWasm = errors.New("not a Wasm module: wrong magic number or version")

// customSection returns the content of the first custom section with a name,
// nil when there is none. A module is a header of 8 bytes and then sections:
//
//	id (1 byte) | size (LEB128) | size bytes; of a custom section (id 0):
//	name's length (LEB128) | name | content
func customSection(wasm []byte, name string) ([]byte, error) {
	const header = "\x00asm\x01\x00\x00\x00"
	rest, ok := bytes.CutPrefix(wasm, []byte(header))
	if !ok {
		return nil, errNotWasm
	}
	for len(rest) > 0 {
		id := rest[0]
		section, after, ok := sized(rest[1:])
		if !ok {
			return nil, fmt.Errorf("not a Wasm module: the section at byte %d reaches behind the end", len(wasm)-len(rest))
		}
		if id == 0 {
			if got, content, ok := sized(section); ok && string(got) == name {
				return content, nil
			}
		}
		rest = after
	}
	return nil, nil
}

// sized splits b into the bytes that its leading length counts and what
// follows them.
func sized(b []byte) (body, after []byte, ok bool) {
	n, width := binary.Uvarint(b)
	if width <= 0 || n > uint64(len(b)-width) {
		return nil, nil, false
	}
	b = b[width:]
	return b[:n:n], b[n:], true
}
