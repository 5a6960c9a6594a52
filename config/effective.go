package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"
)

// Mask stands in for a secret.
const Mask = "********"

// Entry is one value of the merged configuration.
type Entry struct {
	Key    string `json:"key"`    // dotted
	Value  any    `json:"value"`  // with secrets masked and durations as text
	Source string `json:"source"` // "default", "file NAME", "environment NAME" or "flag --NAME"
	Secret bool   `json:"secret"` // Value was masked, or a part of it
}

// Effective returns every value, sorted by key, and where it came from.
//
// Secrets are masked, so that the list can be shown and pasted. A secret is
//   - a string, or one in a list, below settings under a key whose last part
//     contains password, passwd, secret, token or key in any case: apiKey,
//     DB_PASSWORD; but not maxTokens = 5, which is a number;
//   - the user's name and password in a URL, anywhere.
func (c *Config) Effective() []Entry { return slices.Clone(c.entries) }

// Setting looks a dotted key up below settings: a string, bool, int64,
// float64, list, or map of those. The value belongs to the Config.
func (c *Config) Setting(key string) (any, bool) {
	var value any = c.Settings
	for part := range strings.SplitSeq(key, ".") {
		tree, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = tree[part]; !ok {
			return nil, false
		}
	}
	return value, true
}

// entries lists the merged tree.
func entries(tree *koanf.Koanf, sources map[string]string) []Entry {
	var list []Entry
	for key, value := range tree.All() {
		source := sources[key]
		if source == "" {
			source = "default"
		}
		masked, secret := mask(key, value, false)
		list = append(list, Entry{Key: key, Value: masked, Source: source, Secret: secret})
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// mask replaces what is secret in a value; inside says that a key above the
// value was secret.
func mask(key string, value any, inside bool) (any, bool) {
	inside = inside || strings.HasPrefix(key, "settings.") && secretKey(key)
	switch v := value.(type) {
	case time.Duration:
		return shortDuration(v), false
	case Grant:
		return v.plain(), false
	case []Schedule:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i].plain()
		}
		return out, false
	case string:
		if inside {
			return Mask, true
		}
		redacted := redact(v)
		return redacted, redacted != v
	case []string:
		out, secret := make([]string, len(v)), false
		for i, part := range v {
			masked, s := mask(key, part, inside)
			out[i], secret = masked.(string), secret || s
		}
		return out, secret
	case []any:
		out, secret := make([]any, len(v)), false
		for i, part := range v {
			var s bool
			out[i], s = mask(key, part, inside)
			secret = secret || s
		}
		return out, secret
	case map[string]any:
		out, secret := make(map[string]any, len(v)), false
		for name, part := range v {
			var s bool
			out[name], s = mask(key+"."+name, part, inside)
			secret = secret || s
		}
		return out, secret
	}
	return value, false
}

// secretKey says whether the last part of a key marks a secret.
func secretKey(key string) bool {
	last := strings.ToLower(key[strings.LastIndex(key, ".")+1:])
	for _, word := range []string{"password", "passwd", "secret", "token", "key"} {
		if strings.Contains(last, word) {
			return true
		}
	}
	return false
}

// redact hides the user in a URL.
func redact(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	if u, err := url.Parse(s); err == nil && u.User == nil {
		return s
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return s
	}
	return scheme + "://" + Mask + rest[at:]
}
