package config

import (
	"strings"
	"testing"
	"time"
)

func TestModels(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Options{File: write(t, `
[ai.models.small]
url = "http://127.0.0.1:8080/v1"
key_file = "key.txt"
input_price = 0.15
output_price = 0
[ai.models.near]
provider = "static"
[ai.generate]
model = "small"
[workers.w.limits]
ai_tokens = 500
ai_cost_usd = 0.25
`), Env: []string{"WASMHOST_AI__MODELS__SMALL__INPUT_PRICE=0.5"}})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := cfg.AI.Model("small")
	if !ok || m.Provider != ProviderOpenAI || *m.InputPrice != 0.5 || *m.OutputPrice != 0 || m.Timeout != time.Minute || m.Attempts != 3 || !m.Stream {
		t.Errorf("got %+v", m)
	}
	if m, _ := cfg.AI.Model("near"); m.InputPrice != nil || m.OutputPrice != nil {
		t.Error("a price that was not given is a number")
	}
	for name, want := range map[string]bool{"static": true, "extractive": true, "near": true, "none": false} {
		if _, ok := cfg.AI.Model(name); ok != want {
			t.Errorf("model %s: %t", name, ok)
		}
	}
	if l := cfg.Workers["w"].Limits; l.AITokens != 500 || l.AICostUSD != 0.25 {
		t.Errorf("limits %+v", l)
	}
}

func TestBadModels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"url = 'ftp://host'":                                  "ai.models.m.url: is no address",
		"url = 'https://host/v1?x=1'":                         "ai.models.m.url: is no address",
		"url = 'https://u:hidden@host'":                       "has a user in it",
		"model = 'x'":                                         "ai.models.m.url: is missing",
		"url = 'http://example.org/v1'\nkey_env = 'K'":        "unencrypted",
		"url = 'https://host'\nkey_env = 'K'\nkey_file='f'":   "key_file: is set, and so is key_env",
		"url = 'https://host'\nkey_env = 'sk-hidden-0123'":    "never the key itself",
		"url = 'https://host'\ninput_price = -1":              "a number from 0 to 1000000",
		"url = 'https://host'\ninput_price = nan":             "a number from 0 to 1000000",
		"url = 'https://host'\ninput_price = '1'":             "a number from 0 to 1000000",
		"url = 'https://host'\n[ai.embed]\nmodel = 'nope'":    `ai.embed.model: is "nope", which is no model; there are m, extractive, static`,
		"url = 'https://host'\n[ai.generate]\nmodel='static'": "cannot do that",
		"provider = 'static'\nurl = 'https://host'":           "has no effect on the provider static",
	} {
		_, err := Load(Options{File: write(t, "[ai.models.m]\n"+text)})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}
