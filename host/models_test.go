package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/config"
)

func TestKeys(t *testing.T) {
	const secret = "sk-hidden-0123"
	t.Setenv("WASMHOST_TEST_KEY", " "+secret+"\n")
	t.Setenv("WASMHOST_TEST_NONE", "")
	dir := t.TempDir()
	file := func(text string) config.Model {
		path := filepath.Join(dir, "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Model{KeyFile: path}
	}
	if keyOf(config.Model{}) != nil {
		t.Error("there is a key without one")
	}
	for _, m := range []config.Model{{KeyEnv: "WASMHOST_TEST_KEY"}, file(secret + "\n")} {
		if got, err := keyOf(m)(); got != secret || err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
	for name, m := range map[string]config.Model{
		"has no key":         {KeyEnv: "WASMHOST_TEST_NONE"},
		"no such file":       {KeyFile: filepath.Join(dir, "none")},
		"reading a model":    {KeyFile: dir},
		"which is no key":    file(strings.Repeat("x", maxKeyBytes+1)),
		"else than one key":  file(secret + "\r\nX-Header: " + secret),
		"something else tha": file(secret + "ü"),
	} {
		if _, err := keyOf(m)(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
