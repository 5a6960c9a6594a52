package worker

import (
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

// Suffix is what the files of workers end in. Others are passed over.
const Suffix = ".wasm"

// Entry is a file in the folder of workers.
type Entry struct {
	Name string // the worker's: the file's without its suffix
	File string // path
}

// File is the content of an entry.
type File struct {
	Entry
	Wasm     []byte
	Digest   string        // sha256 of Wasm in hex: the version's name
	Manifest *abi.Manifest // nil when the module carries none
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
	return entries, nil
}

// Read reads a worker's file of at most limit bytes. What is wrong with the
// file is abi.InvalidModule and names it.
func Read(e Entry, limit int64) (*File, error) {
	if !abi.ValidName(e.Name) {
		return nil, abi.Errorf(abi.InvalidModule, "%s: a worker's file is named NAME%s, with NAME of lower-case letters and digits, in parts joined by one - or _, %d at most", e.File, Suffix, abi.MaxName)
	}
	wasm, err := readBounded(e.File, limit)
	if err != nil {
		return nil, err
	}
	manifest, err := ReadManifest(wasm)
	if err != nil {
		return nil, abi.Errorf(abi.InvalidModule, "%s: %w", e.File, err)
	}
	sum := sha256.Sum256(wasm)
	return &File{Entry: e, Wasm: wasm, Digest: hex.EncodeToString(sum[:]), Manifest: manifest}, nil
}

// readBounded never holds more than limit bytes, whatever the file's size was
// when it was looked at.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a worker: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, abi.Errorf(abi.InvalidModule, "%s: not a regular file", path)
	}
	tooLarge := abi.Errorf(abi.InvalidModule, "%s: more than the limit of %d bytes (engine.max_module_bytes)", path, limit)
	if info.Size() > limit {
		return nil, tooLarge
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a worker: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading a worker: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, tooLarge
	}
	return b, nil
}
