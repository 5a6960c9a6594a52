package config

import (
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AI is the models and which of them is asked when a caller names none.
type AI struct {
	// Models are what callers can name. static and extractive are there without
	// being configured.
	Models map[string]Model `koanf:"models"`

	Embed    Use `koanf:"embed"`
	Generate Use `koanf:"generate"`

	// Keep is how long the answers to a task's calls are recorded, so that a task
	// that comes again is not paid for twice, 1m to 87600h. Default 192h: a day
	// longer than queue.retention's default.
	Keep time.Duration `koanf:"keep"`
}

// Use is what one command asks.
type Use struct {
	// Model is the name of a model. Default static for ai/embed, extractive for
	// ai/generate.
	Model string `koanf:"model"`
}

// The providers.
const (
	ProviderStatic     = "static"     // the built-in table: embeds
	ProviderExtractive = "extractive" // sentences of the context that is given: generates
	ProviderOpenAI     = "openai"     // a server that speaks OpenAI's protocol: both
)

// Model is one model. What is not said of a provider has no effect on the others.
type Model struct {
	// Provider is openai, for a server that speaks its protocol, or static or
	// extractive, which are built in and need nothing else. Default openai.
	Provider string `koanf:"provider"`
	// URL is where the server is: https://host/v1, to which /embeddings and
	// /chat/completions are added. It must be set for openai.
	URL string `koanf:"url"`
	// Model is the server's name for it. Default: the name in this
	// configuration.
	Model string `koanf:"model"`
	// KeyEnv is the environment variable that has the key. Default: no key is
	// sent. The variable, or the file, is read at each request.
	KeyEnv string `koanf:"key_env"`
	// KeyFile is the file that has the key, and nothing else.
	KeyFile string `koanf:"key_file"`
	// InputPrice and OutputPrice are US dollars for a million tokens, 0 to 1e6.
	// Default: not known, and so neither is what a call costs.
	InputPrice  *float64 `koanf:"input_price"`
	OutputPrice *float64 `koanf:"output_price"`
	// Timeout is how long one request may take, 1ms to 1h. Default 1m.
	Timeout time.Duration `koanf:"timeout"`
	// Attempts is how often a request is made that finds the server away, busy
	// or broken, 1 to 10. Default 3.
	Attempts int `koanf:"attempts"`
	// MaxTokens is the most of an answer where the caller does not ask for less,
	// 1 to 1e6. Default 1024.
	MaxTokens int `koanf:"max_tokens"`
	// Stream asks for answers piece by piece. Default true; some servers only
	// tell what they used without it.
	Stream bool `koanf:"stream"`
	// Dimension is of the model's vectors, 0 to 16384. Others are refused. 0 is
	// what the server gives. Default 0.
	Dimension int `koanf:"dimension"`
}

func aiSchema() *node {
	plain := func() *node { return &node{leaf: &leaf{kind: kindString}} }
	use := func(def string) *node {
		return table(map[string]*node{"model": {leaf: &leaf{kind: kindString, def: def, name: true}}})
	}
	return table(map[string]*node{
		"models": named(table(map[string]*node{
			"provider":     text(ProviderOpenAI, ProviderOpenAI, ProviderStatic, ProviderExtractive),
			"url":          plain(),
			"model":        plain(),
			"key_env":      plain(),
			"key_file":     pathTo(nil),
			"input_price":  amount(nil, 1e6),
			"output_price": amount(nil, 1e6),
			"timeout":      duration(time.Minute, time.Millisecond, time.Hour),
			"attempts":     number(3, 1, 10),
			"max_tokens":   number(1024, 1, 1e6),
			"stream":       flag(true),
			"dimension":    number(0, 0, 16384),
		})),
		"embed":    use(ProviderStatic),
		"generate": use(ProviderExtractive),
		"keep":     duration(192*time.Hour, time.Minute, 87600*time.Hour),
	})
}

// Model returns a model by its name: what is configured, or one of those that are
// built in.
func (a *AI) Model(name string) (Model, bool) {
	if m, ok := a.Models[name]; ok {
		return m, true
	}
	if name == ProviderStatic || name == ProviderExtractive {
		return Model{Provider: name}, true
	}
	return Model{}, false
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// check says what is wrong with the models. What it says never shows a value that
// could be a key which was put into the wrong place.
func (a *AI) check(report func(key, format string, args ...any)) {
	names := slices.Sorted(maps.Keys(a.Models))
	for _, name := range names {
		m, key := a.Models[name], "ai.models."+name+"."
		if m.Provider != ProviderOpenAI {
			if m.URL != "" {
				report(key+"url", "has no effect on the provider %s, which is built in", m.Provider)
			}
			continue
		}
		switch u, err := url.Parse(m.URL); {
		case m.URL == "":
			report(key+"url", `is missing; set it to the server's address, such as "http://127.0.0.1:8080/v1"`)
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			report(key+"url", "is no address; allowed: http or https, a host and a path, nothing behind them")
		case u.User != nil:
			report(key+"url", "has a user in it; allowed: a key, by key_env or key_file")
		case u.Scheme == "http" && (m.KeyEnv != "" || m.KeyFile != "") && !loopback(u.Hostname()):
			report(key+"url", "would send the key over an unencrypted connection; allowed: https, or http on this machine")
		}
		if m.KeyEnv != "" && m.KeyFile != "" {
			report(key+"key_file", "is set, and so is key_env; remove one of them")
		}
		if m.KeyEnv != "" && !variableName.MatchString(m.KeyEnv) {
			report(key+"key_env", "is no name of an environment variable; allowed: the variable's name, never the key itself")
		}
	}
	known := strings.Join(append(slices.DeleteFunc(names, func(n string) bool { return n == ProviderStatic || n == ProviderExtractive }), ProviderExtractive, ProviderStatic), ", ")
	for _, use := range []struct{ key, model, not string }{
		{"ai.embed.model", a.Embed.Model, ProviderExtractive}, {"ai.generate.model", a.Generate.Model, ProviderStatic},
	} {
		if m, ok := a.Model(use.model); !ok {
			report(use.key, "is %q, which is no model; there are %s", use.model, known)
		} else if m.Provider == use.not {
			report(use.key, "is %q, whose provider %s cannot do that", use.model, m.Provider)
		}
	}
}

// loopback says whether a host is this machine, whatever is in its name service.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
