package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
)

func TestManifestErrorsNameTheKey(t *testing.T) {
	t.Parallel()
	for manifest, want := range map[string]string{
		`{"kinds":"a"}`:                               "kinds is a string",
		`{"limits":{"memory_mb":"x"}}`:                "limits.memory_mb is a string",
		`{"limits":{"memory_mb":1}}`:                  "limits.memory_mb: 1: from 4 to 4096",
		`{"limits":{"deadline_ms":-1}}`:               "limits.deadline_ms: -1",
		`{"retry":{"max_attempts":1001}}`:             "retry.max_attempts",
		`{"isolation":"none"}`:                        "isolation",
		`{"self_test":{}}`:                            "self_test.kind",
		`{"name":"\u001b[2J"}`:                        "name: ",
		`{"on":["["]}`:                                "on[0]",
		`{"provides":[""]}`:                           "provides[0]",
		`{"requests":{"data":{"Big":["read"]}}}`:      `requests.data: "Big"`,
		`{"requests":{"data":{"a":["reed"]}}}`:        `requests.data.a[0]: "reed"`,
		`{"requests":{"data":{"a":[]}}}`:              "requests.data.a: asks for nothing",
		`{"requests":{"collections":{"a":{}}}}`:       "requests.collections.a",
		`{"requests":{"collections":{"a":{"t":{}}}}}`: "requests.collections.a.t: asks for nothing",
		`{"requests":{"data":{"a":["read"]},"collections":{"a":{"t":{"delete":true}}}}}`: "requests.collections.a: the handle is in requests.data as well",
		`{"schedule":[{"cron":"* * *","kind":"k"}]}`:                                     "schedule[0].cron",
		`{"schedule":[{"cron":"60 * * * *","kind":"k"}]}`:                                "schedule[0].cron",
		`{"schedule":[{"cron":"* * * * *"}]}`:                                            "schedule[0].kind",
		`{"schedule":[{"cron":"*/5 0-6 1,15 * 1-5","kind":"k","time_zone":"Nowhere"}]}`:  "schedule[0].time_zone",
		`{"schedule":[{"cron":"* * * * *","kind":"k","missed":"all"}]}`:                  "schedule[0].missed",
		`{"requests":{"comands":[]}}`:                                                    `unknown field "comands"`,
	} {
		_, err := ReadManifest([]byte(header + section(manifest)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", manifest, err, want)
		}
	}
	good := `{"name":"a","version":"1","kinds":["k"],"requests":{"collections":{"p":{"t":{"read":["*"],"delete":true}}},"queries":["q"]},
		"provides":["a/b"],"on":["x:*"],"schedule":[{"cron":"*/5 0-6 1,15 * 1-5","kind":"k","payload":{"n":1},"time_zone":"Europe/Vienna","missed":"once"}],
		"limits":{"memory_mb":8,"deadline_ms":1000,"fuel":5},"retry":{"max_attempts":3},"isolation":"task","atomic":true,"self_test":{"kind":"k"}}`
	if m, err := ReadManifest([]byte(header + section(good))); err != nil || !m.Atomic || m.Schedule[0].Missed != "once" {
		t.Errorf("%+v, %v", m, err)
	}
}

// section is a manifest's, of any length.
func section(manifest string) string {
	const name = "wasmhost.manifest"
	body := string(rune(len(name))) + name + manifest
	n := len(body)
	return "\x00" + string([]byte{byte(n&0x7f | 0x80), byte(n >> 7 & 0x7f)}) + body
}

func TestSidecar(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := Entry{Name: "w", File: filepath.Join(dir, "w.wasm")}
	write(t, e.File, header)
	plain, err := Read(e, 1000)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "w.toml"), "name = 'w'\nversion = '1'\n[requests]\ncommands = ['ping']\n[requests.collections.primary.chat]\nread = ['id']\n")
	f, err := Read(e, 1000)
	if err != nil || f.Manifest.Requests.Collections["primary"]["chat"].Read[0] != "id" || f.Digest == plain.Digest {
		t.Fatalf("%+v, %v", f, err)
	}
	for text, want := range map[string]string{
		"version = 1":               "version is a number",
		"name = 'w'\nversion 2":     "line 2, column",
		"vresion = 'x'":             `unknown field "vresion"`,
		strings.Repeat("#", 65<<10): "more than the limit of 65536 bytes",
	} {
		write(t, filepath.Join(dir, "w.toml"), text)
		if _, err := Read(e, 1000); !errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "w.toml") {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
	// A module that speaks for itself does not ask the sidecar.
	write(t, e.File, header+section(`{"name":"own"}`))
	if f, err := Read(e, 1000); err != nil || f.Manifest.Name != "own" || f.Sidecar != nil {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{RequireSignature: true, TrustedKeys: []string{public.String()}}
	wasm, sidecar := []byte(header), []byte("name = 'w'")
	legacy := minisign.Sign(private, wasm)
	reader := minisign.NewReader(strings.NewReader(string(wasm)))
	if _, err := reader.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	hashed := reader.Sign(private)
	if string(legacy[:80]) == string(hashed[:80]) {
		t.Error("the two forms are one")
	}
	for name, c := range map[string]struct {
		f    File
		want string // "" for admitted
	}{
		"legacy":             {File{Wasm: wasm, Signature: legacy}, ""},
		"prehashed":          {File{Wasm: wasm, Signature: hashed}, ""},
		"none":               {File{Wasm: wasm}, "there is no"},
		"another's":          {File{Wasm: wasm, Signature: minisign.Sign(stranger, wasm)}, "not in admission.trusted_keys"},
		"changed":            {File{Wasm: append([]byte(header), 0), Signature: legacy}, "was changed"},
		"garbage":            {File{Wasm: wasm, Signature: []byte("RWQ")}, "no minisign signature"},
		"sidecar not signed": {File{Wasm: wasm, Signature: legacy, Sidecar: sidecar}, "w.toml.minisig"},
		"sidecar signed":     {File{Wasm: wasm, Signature: legacy, Sidecar: sidecar, SidecarSignature: minisign.Sign(private, sidecar)}, ""},
	} {
		c.f.Name = "w"
		err := policy.Check(&c.f)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if err := (Policy{}).Check(&File{Wasm: wasm}); err != nil {
		t.Errorf("without the policy: %v", err)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	ask := Ask{Requests: abi.Requests{
		Data:        map[string][]string{"archive": {"insert"}},
		Collections: map[string]map[string]abi.Rights{"primary": {"chat": {Read: []string{"id", "text"}, Delete: true}}},
		Commands:    []string{"events/emit", "ai/*"}, Config: []string{"archive.size"}, Queries: []string{"q"}, Events: []string{"y:z", "z:*"},
	}, Provides: []string{"a/b"}, On: []string{"x:*"}}
	if got := len(ask.Missing()); got != 12 {
		t.Errorf("with nothing given %d of 12 are missing", got)
	}
	if got := ask.Missing(ask); len(got) != 0 {
		t.Errorf("with all given: %s", Words(got))
	}
	given := Ask{Requests: abi.Requests{
		Data:     map[string][]string{"primary": {"read"}},
		Commands: []string{"events/*", "*/*"}, Config: []string{"archive.*"}, Queries: []string{"*"}, Events: []string{"y:*"},
	}, Provides: []string{"*/*"}, On: []string{"*"}}
	var got []string
	for _, i := range ask.Missing(given) {
		got = append(got, i.String())
	}
	want := []string{
		`add rows to everything in the database "archive"`, `delete rows of "chat" in the database "primary"`, "run your query q",
		"call the command ai/*", "emit the event z:*", "answer the command a/b for others", "get a task for each event x:*",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	narrow := Ask{Requests: abi.Requests{Collections: map[string]map[string]abi.Rights{"primary": {"chat": {Read: []string{"id"}}}}}}
	wide := Ask{Requests: abi.Requests{Data: map[string][]string{"primary": {"read"}}}}
	if len(narrow.Missing(wide)) != 0 || len(wide.Missing(narrow)) != 1 {
		t.Error("a column is not within all, or all within a column")
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	f := &File{Entry: Entry{Name: "w"}, Digest: "d1", Manifest: &abi.Manifest{Version: "1", Requests: abi.Requests{
		Data: map[string][]string{"p": {"read"}}, Collections: map[string]map[string]abi.Rights{"q": {"odd name": {Read: []string{"*"}, Delete: true}}},
	}, On: []string{"x:*"}}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	allow := func(d *Decision) error { d.Allow(f, at); return nil }
	for range 2 { // twice is once
		if err := Decide(dir, "w", allow); err != nil {
			t.Fatal(err)
		}
	}
	all, err := ReadDecisions(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := all["w"]
	if len(d.Allowed) != 1 || !d.When("d1").Equal(at) || !d.When("d2").IsZero() {
		t.Errorf("decided: %+v", d)
	}
	if missing := AskOf(f.Manifest).Missing(d.Asks()...); len(missing) != 0 {
		t.Errorf("lost on the way: %s", Words(missing))
	}
	// Several at once.
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := Decide(dir, fmt.Sprintf("w%d", i), func(d *Decision) error { d.Pin = "abcd"; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := Decide(dir, "w", func(d *Decision) error { d.Allowed = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if all, err = ReadDecisions(dir); err != nil || len(all) != 10 {
		t.Errorf("decided: %+v, %v", all, err)
	}
	write(t, filepath.Join(dir, DecisionsFile), "[w]\npni = 'x'\n")
	if _, err := ReadDecisions(dir); !errors.Is(err, abi.InvalidArgument) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a misspelled key: %v", err)
	}
	if err := Decide(dir, "w", allow); !errors.Is(err, abi.InvalidArgument) {
		t.Errorf("a file that is wrong was overwritten: %v", err)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	h := OpenHistory(t.TempDir())
	version := func(i int) *File {
		wasm := []byte(header + custom("v", fmt.Sprint(i)))
		sidecar := []byte(fmt.Sprintf("version = '1.%d'", i))
		return &File{Entry: Entry{Name: "w"}, Wasm: wasm, Sidecar: sidecar, Signature: []byte("s"), Digest: Digest(wasm, sidecar), Manifest: &abi.Manifest{Version: fmt.Sprintf("1.%d", i)}}
	}
	if r, err := h.Record("w"); err != nil || r.Serving != "" {
		t.Errorf("at first: %+v, %v", r, err)
	}
	const n = keepVersions + 5
	spared := version(0).Digest
	for i := range n {
		if err := h.Keep(version(i), spared); err != nil {
			t.Fatal(err)
		}
	}
	r, err := h.Record("w")
	if err != nil || len(r.Versions) != keepVersions || r.Serving != version(n-1).Digest || r.Versions[0].Digest != spared {
		t.Fatalf("%+v, %v", r, err)
	}
	if v, ok := r.Before(); !ok || v.Version != fmt.Sprintf("1.%d", n-2) {
		t.Errorf("before it was %+v", v)
	}
	for _, name := range []string{spared, spared[:8], "1.0"} {
		if v, ok := r.Find(name); !ok || v.Digest != spared {
			t.Errorf("%s is %+v", name, v)
		}
	}
	if _, ok := r.Find(""); ok {
		t.Error("nothing is a version")
	}
	f, err := h.Load("w", spared, 1000)
	if err != nil || string(f.Wasm) != string(version(0).Wasm) || string(f.Signature) != "s" || f.Manifest.Version != "1.0" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := h.Load("w", version(1).Digest, 1000); !errors.Is(err, abi.NotFound) {
		t.Errorf("a forgotten version: %v", err)
	}
	files, err := os.ReadDir(filepath.Join(h.dir, "w"))
	if err != nil || len(files) != 3*keepVersions+1 {
		t.Errorf("%d files are kept, %v", len(files), err)
	}
	write(t, filepath.Join(h.dir, "w", spared+Suffix), header)
	if _, err := h.Load("w", spared, 1000); !errors.Is(err, abi.Corrupt) {
		t.Errorf("a damaged version: %v", err)
	}
}

func FuzzSidecar(f *testing.F) {
	f.Add([]byte("name = 'a'\n[requests]\ncommands = ['x']"))
	f.Add([]byte("[[schedule]]\ncron='* * * * *'\nkind='k'"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := readSidecar(b); m != nil && err != nil {
			t.Error("both a manifest and an error")
		}
	})
}
