package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// What the names of a worker's files end in. Other files are passed over.
const (
	Suffix           = ".wasm"
	SidecarSuffix    = ".toml"         // the manifest of a module that carries none
	SignatureSuffix  = ".wasm.minisig" // of the module
	SidecarSigSuffix = ".toml.minisig" // of the sidecar
	maxSignature     = 4 << 10         // bytes of a signature's file
	maxEntries       = 1000            // of the folder
)

// Entry is a file in the folder of workers.
type Entry struct {
	Name string // the worker's: the file's without its suffix
	File string // path
}

// File is the content of an entry and of the files beside it.
type File struct {
	Entry
	Wasm     []byte
	Size     int64         // of Wasm
	Digest   string        // in hex: the version's name; see [Digest]
	Manifest *abi.Manifest // nil when there is none

	Sidecar, Signature, SidecarSignature []byte // nil when there is none
}

// Digest names a version: the sha256 of the module and, where its manifest is
// that of a sidecar, of the module's digest and the sidecar.
func Digest(wasm, sidecar []byte) string {
	sum := sha256.Sum256(wasm)
	if sidecar != nil {
		sum = sha256.Sum256(append(sum[:], sidecar...))
	}
	return hex.EncodeToString(sum[:])
}

// Scan lists the workers in a folder, ordered by name. A folder that does not
// exist has none. A file whose name no worker can have is listed too, so that
// it can be refused with a reason: see [Read].
func Scan(dir string) ([]Entry, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the workers: %w", err)
	}
	var entries []Entry
	for _, e := range list {
		name, ok := strings.CutSuffix(e.Name(), Suffix)
		if ok && !e.IsDir() && !strings.HasPrefix(name, ".") {
			entries = append(entries, Entry{Name: name, File: filepath.Join(dir, e.Name())})
		}
	}
	if len(entries) > maxEntries {
		return nil, abi.Errorf(abi.LimitExceeded, "%s has %d workers: %d at most", dir, len(entries), maxEntries)
	}
	return entries, nil
}

// Read reads a worker's file of at most limit bytes, and what is beside it. What
// is wrong with the file is abi.InvalidModule and names it.
func Read(e Entry, limit int64) (*File, error) {
	if !abi.ValidName(e.Name) {
		return nil, abi.Errorf(abi.InvalidModule, "%s: a worker's file is named NAME%s, with NAME of lower-case letters and digits, in parts joined by one - or _, %d at most", e.File, Suffix, abi.MaxName)
	}
	wasm, err := readBounded(e.File, limit, "engine.max_module_bytes")
	if err != nil {
		return nil, err
	}
	f := &File{Entry: e, Wasm: wasm, Size: int64(len(wasm))}
	if f.Manifest, err = ReadManifest(wasm); err != nil {
		return nil, abi.Errorf(abi.InvalidModule, "%s: %w", e.File, err)
	}
	base := strings.TrimSuffix(e.File, Suffix)
	if f.Signature, err = readBeside(base+SignatureSuffix, maxSignature); err != nil {
		return nil, err
	}
	if f.Manifest == nil { // else the module speaks for itself
		if f.Sidecar, err = readBeside(base+SidecarSuffix, maxManifest); err != nil {
			return nil, err
		}
	}
	if f.Sidecar != nil {
		if f.SidecarSignature, err = readBeside(base+SidecarSigSuffix, maxSignature); err != nil {
			return nil, err
		}
		if f.Manifest, err = readSidecar(f.Sidecar); err != nil {
			return nil, abi.Errorf(abi.InvalidModule, "%s: %w", base+SidecarSuffix, err)
		}
	}
	f.Digest = Digest(f.Wasm, f.Sidecar)
	return f, nil
}

// readBeside reads a file that need not be there: nil if it is not.
func readBeside(path string, limit int64) ([]byte, error) {
	b, err := readBounded(path, limit, "fixed")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// readBounded never holds more than limit bytes, whatever the file's size was
// when it was looked at. What is not there is fs.ErrNotExist.
func readBounded(path string, limit int64, what string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a worker: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, abi.Errorf(abi.InvalidModule, "%s: not a regular file", path)
	}
	tooLarge := abi.Errorf(abi.InvalidModule, "%s: more than the limit of %d bytes (%s)", path, limit, what)
	if info.Size() > limit {
		return nil, tooLarge
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a worker: %w", err)
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, fmt.Errorf("reading a worker: %w", err)
	}
	if int64(b.Len()) > limit {
		return nil, tooLarge
	}
	return b.Bytes(), nil
}
