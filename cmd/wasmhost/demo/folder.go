package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
)

// markerName is the file by which a folder is known to be the demo's.
const markerName = ".wasmhost-demo"

const markerText = "This folder was made by wasmhost demo, which makes it again each time it runs.\n"

// files are the paths in the demo's folder.
type files struct {
	dir, primary, archive, original, config, workers, state string
}

// guest is the file of a worker.
func (f files) guest(name string) string { return filepath.Join(f.workers, name+".wasm") }

func filesIn(dir string) files {
	return files{
		dir:      dir,
		primary:  filepath.Join(dir, "primary.db"),
		archive:  filepath.Join(dir, "archive.db"),
		original: filepath.Join(dir, "original.db"),
		config:   filepath.Join(dir, "wasmhost.toml"),
		workers:  filepath.Join(dir, "workers"),
		state:    filepath.Join(dir, "wasmhost-state"),
	}
}

// prepare makes the folder, or clears one that the demo made before of what
// the demo put there. It refuses any other folder that is not empty.
func prepare(dir string) (files, error) {
	f := filesIn(dir)
	marker := filepath.Join(dir, markerName)
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return f, fmt.Errorf("making the demo's folder: %w", err)
		}
	case err != nil:
		return f, fmt.Errorf("looking into the demo's folder: %w", err)
	case len(entries) > 0:
		text, err := os.ReadFile(marker)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, fmt.Errorf("reading the demo's marker: %w", err)
		}
		if string(text) != markerText {
			return f, fmt.Errorf("%s has files in it and was not made by the demo (there is no %s): choose another folder with --dir", dir, markerName)
		}
		if err := clearOwn(f); err != nil {
			return f, fmt.Errorf("clearing the demo's folder: %w", err)
		}
	}
	if err := os.WriteFile(marker, []byte(markerText), 0o644); err != nil {
		return f, fmt.Errorf("marking the demo's folder: %w", err)
	}
	if err := os.MkdirAll(f.workers, 0o755); err != nil {
		return f, fmt.Errorf("making the workers' folder: %w", err)
	}
	return f, nil
}

// clearOwn deletes what the demo made, by name. Of the host's state it keeps the
// compiled modules. Nothing is deleted while a host works in the folder.
func clearOwn(f files) error {
	names := []string{f.config}
	for _, name := range guestNames {
		names = append(names, f.guest(name))
	}
	for _, name := range []string{f.primary, f.archive, f.original} {
		names = append(names, name, name+"-wal", name+"-shm", name+"-journal")
	}
	entries, err := os.ReadDir(f.state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		unlock, err := host.LockState(f.state)
		if errors.Is(err, abi.Unavailable) {
			return fmt.Errorf("a host is running on %s: stop it first, or choose another folder with --dir", f.dir)
		}
		if err != nil {
			return err
		}
		defer unlock() //nolint:errcheck // the end of the process unlocks it, too
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			names = append(names, filepath.Join(f.state, entry.Name()))
		}
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
