package config

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// layer is one source of values, checked against the schema: dotted key to a
// value of the leaf's type.
type layer struct {
	values   map[string]any
	sources  map[string]string
	problems []Problem
	dir      string // what relative paths are relative to; "" for the working directory
	typed    bool   // values have types of their own; otherwise all are strings
}

func newLayer(dir string, typed bool) *layer {
	return &layer{values: map[string]any{}, sources: map[string]string{}, dir: dir, typed: typed}
}

func (l *layer) problem(path []string, source, format string, args ...any) {
	l.problems = append(l.problems, Problem{Key: strings.Join(path, "."), Source: source, Message: fmt.Sprintf(format, args...)})
}

// add checks a value and everything below it.
func (l *layer) add(n *node, path []string, value any, source string) {
	switch {
	case n.leaf != nil && n.leaf.kind == kindGrant:
		l.addGrant(path, value, source)
	case n.leaf != nil && n.leaf.kind == kindSchedules:
		l.addSchedules(path, value, source)
	case n.leaf != nil:
		l.addLeaf(n.leaf, path, value, source)
	case n.free:
		l.addFree(path, value, source)
	default:
		children, ok := value.(map[string]any)
		if !ok {
			l.problem(path, source, "is a table and cannot be set to %s; set one of the keys below it", show(value))
			return
		}
		if len(children) == 0 && len(path) > 0 {
			l.set(path, map[string]any{}, source) // [workers.archive] with nothing in it names a worker
		}
		for _, name := range sortedKeys(children) {
			l.addChild(n, path, name, children[name], source)
		}
	}
}

func (l *layer) addChild(n *node, path []string, name string, value any, source string) {
	child := n.keys[name]
	path = append(slices.Clip(path), name)
	switch {
	case n.each != nil && abi.ValidName(name):
		child = n.each
	case n.each != nil:
		l.problem(path, source, "%q cannot be a name; allowed: %s", name, nameForm)
		return
	case child == nil:
		hint := ""
		if near := nearest(name, n.names()); near != "" {
			hint = fmt.Sprintf(" (did you mean %s?)", near)
		}
		l.problem(path, source, "unknown key%s; allowed here: %s", hint, strings.Join(n.names(), ", "))
		return
	}
	l.add(child, path, value, source)
}

// addPath sets one dotted key to a text, as flags and the environment do.
func (l *layer) addPath(root *node, parts []string, value, source string) {
	n := root
	for i, part := range parts {
		if n.leaf != nil {
			l.problem(parts, source, "unknown key: %s is a value and has nothing below it", strings.Join(parts[:i], "."))
			return
		}
		if n.free {
			break
		}
		next := n.keys[part]
		if n.each != nil && abi.ValidName(part) {
			next = n.each
		}
		if next == nil {
			l.addChild(n, parts[:i], part, nil, source) // reports what is wrong with it
			return
		}
		n = next
	}
	key := strings.Join(parts, ".")
	if _, twice := l.values[key]; twice {
		l.problem(parts, source, "is set by %s as well; remove one of them", l.sources[key])
		return
	}
	if n.free {
		if slices.Contains(parts, "") || len(parts) < 2 {
			l.problem(parts, source, "settings are set one by one: settings.NAME")
			return
		}
		l.addFree(parts, scalar(value), source)
		return
	}
	l.add(n, parts, value, source)
}

func (l *layer) set(path []string, value any, source string) {
	key := strings.Join(path, ".")
	l.values[key], l.sources[key] = value, source
}

func (l *layer) addLeaf(spec *leaf, path []string, value any, source string) {
	parsed, ok := l.parse(spec, value)
	if !ok {
		l.problem(path, source, "is %s; allowed: %s", show(value), spec.allowed())
		return
	}
	if spec.path {
		p := parsed.(string)
		if strings.Contains(p, "://") || strings.HasPrefix(p, "file:") {
			l.problem(path, source, "is %s; allowed: the path of a file or folder, not a URL", show(redact(p)))
			return
		}
		if l.dir != "" && !filepath.IsAbs(p) {
			p = filepath.Join(l.dir, p)
		}
		if spec.most > 0 && len(p) > spec.most {
			l.problem(path, source, "is %s, %d bytes; allowed: %s", show(p), len(p), spec.allowed())
			return
		}
		parsed = p
	}
	l.set(path, parsed, source)
}

// parse turns a value into the type of its leaf.
func (l *layer) parse(spec *leaf, value any) (any, bool) {
	s, isText := value.(string)
	switch spec.kind {
	case kindBool:
		if isText && !l.typed && (s == "true" || s == "false") {
			return s == "true", true
		}
		b, ok := value.(bool)
		return b, ok
	case kindInt:
		n, ok := value.(int64)
		if isText && !l.typed {
			var err error
			n, err = strconv.ParseInt(s, 10, 64)
			ok = err == nil
		}
		return n, ok && spec.min <= n && n <= spec.max
	case kindFloat:
		n, ok := value.(float64)
		if i, whole := value.(int64); whole {
			n, ok = float64(i), true
		}
		if isText && !l.typed {
			var err error
			n, err = strconv.ParseFloat(s, 64)
			ok = err == nil
		}
		return n, ok && n >= float64(spec.min) && n <= float64(spec.max) // NaN is in no range
	case kindDuration:
		d, err := time.ParseDuration(s)
		return d, isText && err == nil && spec.min <= int64(d) && int64(d) <= spec.max
	case kindList:
		return l.parseList(spec, value)
	}
	switch {
	case !isText || s == "" || strings.ContainsRune(s, 0):
		return nil, false
	case spec.oneOf != nil:
		return s, slices.Contains(spec.oneOf, s)
	case spec.name:
		return s, abi.ValidName(s)
	case spec.address:
		_, port, err := net.SplitHostPort(s)
		_, bad := strconv.ParseUint(port, 10, 16)
		return s, err == nil && bad == nil
	}
	return s, true
}

// parseList takes an array of strings or, where everything is text, a list
// with commas.
func (l *layer) parseList(spec *leaf, value any) (any, bool) {
	var parts []any
	switch v := value.(type) {
	case []any:
		parts = v
	case string:
		if l.typed {
			return nil, false
		}
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				parts = append(parts, part)
			}
		}
	default:
		return nil, false
	}
	out := make([]string, len(parts))
	for i, part := range parts {
		s, ok := part.(string)
		if !ok || s == "" || spec.oneOf != nil && !slices.Contains(spec.oneOf, s) {
			return nil, false
		}
		out[i] = s
	}
	return out, true
}

// addFree takes a tree below settings. Its keys must be free of dots, because
// a dotted key would have two meanings.
func (l *layer) addFree(path []string, value any, source string) {
	if children, ok := value.(map[string]any); ok {
		if len(children) == 0 {
			l.set(path, map[string]any{}, source)
		}
		for _, name := range sortedKeys(children) {
			below := append(slices.Clip(path), name)
			if name == "" || strings.Contains(name, ".") {
				l.problem(below, source, "%q cannot be a key; allowed below settings: anything without a dot", name)
				continue
			}
			l.addFree(below, children[name], source)
		}
		return
	}
	if len(path) == 1 {
		l.problem(path, source, "is a table and cannot be set to %s", show(value))
		return
	}
	clean, ok := plain(value)
	if !ok {
		l.problem(path, source, "is %s; allowed below settings: strings, booleans, finite numbers, dates, lists and tables", show(value))
		return
	}
	l.set(path, clean, source)
}

// plain turns dates into text and refuses what JSON cannot say.
func plain(value any) (any, bool) {
	switch v := value.(type) {
	case string, bool, int64:
		return v, true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case time.Time:
		return v.Format(time.RFC3339Nano), true
	case fmt.Stringer: // a TOML date or time without a zone
		return v.String(), true
	case []any:
		out := make([]any, len(v))
		for i, part := range v {
			var ok bool
			if out[i], ok = plain(part); !ok {
				return nil, false
			}
		}
		return out, true
	case map[string]any: // a table in a list
		out := make(map[string]any, len(v))
		for name, part := range v {
			var ok bool
			if out[name], ok = plain(part); !ok {
				return nil, false
			}
		}
		return out, true
	}
	return nil, false
}

// scalar reads a text as JSON if it is a number, a boolean or a list, and
// leaves it a string otherwise, so that WASMHOST_SETTINGS__archive__batchSize=500
// gives a worker the number that it expects.
func scalar(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	switch value.(type) {
	case bool, float64:
		return value
	case []any:
		return integers(value)
	}
	return text
}

// integers gives whole numbers that came from JSON their integer type back.
func integers(value any) any {
	switch v := value.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = integers(v[name])
		}
	}
	return value
}

// show prints a value for an error message.
func show(value any) string {
	switch v := value.(type) {
	case string:
		const most = 80
		if len(v) > most {
			v = strings.ToValidUTF8(v[:most], "") + "…"
		}
		return strconv.Quote(v)
	case nil:
		return "nothing"
	case map[string]any:
		return "a table"
	case []any:
		parts := make([]string, 0, len(v))
		for _, part := range v {
			if len(parts) == 8 {
				parts = append(parts, "…")
				break
			}
			parts = append(parts, show(part))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case bool, int64, float64:
		return fmt.Sprint(v)
	}
	return "a " + reflect.TypeOf(value).String()
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
