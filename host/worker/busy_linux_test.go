package worker

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wasmhost/wasmhost/abi"
)

// A pipe that nobody writes would hold up who opens it for ever.
func TestFolderPassesOverPipes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "w.wasm"), 0o600); err != nil {
		t.Skip("skipped: no pipes here:", err)
	}
	if got := settle(t, NewFolder(dir, 1000))["w"]; !errors.Is(got.Err, abi.InvalidModule) {
		t.Errorf("a pipe: %+v", got)
	}
}
