package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Save puts a worker's file and those beside it into a folder, under a name. Each
// is written aside, synced and renamed, the module last: whoever looks finds the
// old module or the new one, and a power cut leaves one of the two.
func Save(dir, name string, f *File) error {
	base := filepath.Join(dir, name)
	for _, beside := range []struct {
		suffix  string
		content []byte
	}{
		{SidecarSuffix, f.Sidecar}, {SidecarSigSuffix, f.SidecarSignature}, {SignatureSuffix, f.Signature},
	} {
		var err error
		if beside.content != nil {
			err = writeFile(base+beside.suffix, beside.content)
		} else if err = os.Remove(base + beside.suffix); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("saving worker %s: %w", name, err)
		}
	}
	if err := writeFile(base+Suffix, f.Wasm); err != nil {
		return fmt.Errorf("saving worker %s: %w", name, err)
	}
	return nil
}

// writeFile replaces a file at once and for good.
func writeFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	// The dot hides it from those who list workers.
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreGone(os.Remove(tmp.Name())))
		}
	}()
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes a rename last. Windows has no such thing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what killed writers of files with such names left behind. None may
// be writing one.
func sweep(dir, names string) {
	left, _ := filepath.Glob(filepath.Join(dir, "."+names+".tmp"))
	for _, path := range left {
		_ = os.Remove(path) // it is in nobody's way
	}
}
