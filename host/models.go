package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command/ai"
	"github.com/wasmhost/wasmhost/host/metrics"
)

// openModels makes the models that are configured, and the two that are built in,
// and adds the commands that ask them.
func openModels(h *Host) (*ai.Service, error) {
	c := ai.Config{
		Models: map[string]ai.ModelConfig{}, Embed: h.cfg.AI.Embed.Model, Generate: h.cfg.AI.Generate.Model,
		Records: h.state.Answers, Log: h.log,
		Told: func(c ai.Call) {
			h.metrics.Asked(metrics.Asked{
				Model: c.Model, Code: c.Code, Recalled: c.Recalled,
				InputTokens: c.Usage.InputTokens, OutputTokens: c.Usage.OutputTokens, CostUSD: c.Usage.CostUSD,
			})
		},
	}
	names := []string{config.ProviderStatic, config.ProviderExtractive}
	for name := range h.cfg.AI.Models {
		names = append(names, name)
	}
	for _, name := range names {
		m, _ := h.cfg.AI.Model(name) // those that are not configured are built in
		c.Models[name] = ai.ModelConfig{
			Provider: m.Provider, URL: m.URL, Model: m.Model, Key: keyOf(m), Input: m.InputPrice, Output: m.OutputPrice,
			Timeout: m.Timeout, Attempts: m.Attempts, MaxTokens: int64(m.MaxTokens), Stream: m.Stream, Dimension: m.Dimension,
		}
	}
	s, err := ai.New(c)
	if err == nil {
		err = s.Register(h.router)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the models: %w", err)
	}
	return s, nil
}

// maxKeyBytes is the most of a key: a file of more is another.
const maxKeyBytes = 16 << 10

// keyOf reads a model's key anew each time, so that it can be changed while the
// host runs. The errors say where it should be, never what is there.
func keyOf(m config.Model) func() (string, error) {
	switch {
	case m.KeyEnv != "":
		return func() (string, error) {
			return checkKey(os.Getenv(m.KeyEnv), "the environment variable "+m.KeyEnv)
		}
	case m.KeyFile != "":
		return func() (string, error) {
			f, err := os.Open(m.KeyFile)
			if err != nil {
				return "", fmt.Errorf("reading a model's key: %w", err)
			}
			defer f.Close()
			b, err := io.ReadAll(io.LimitReader(f, maxKeyBytes+1))
			if err != nil {
				return "", fmt.Errorf("reading a model's key: %w", err)
			}
			return checkKey(string(b), "the file "+m.KeyFile)
		}
	}
	return nil
}

// checkKey returns a key that can stand in a header.
func checkKey(s, where string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", errors.New(where + " has no key")
	case len(s) > maxKeyBytes:
		return "", fmt.Errorf("%s has more than %d bytes, which is no key", where, maxKeyBytes)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New(where + " has something else than one key in it")
	}
	return s, nil
}
