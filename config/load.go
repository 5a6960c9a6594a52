package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

const (
	// DefaultFile is the file that is read when none is named and it exists.
	DefaultFile = "wasmhost.toml"

	// EnvPrefix begins the names of the environment variables that are read.
	EnvPrefix = "WASMHOST_"

	// EnvFile is the environment variable that names the file.
	EnvFile = EnvPrefix + "CONFIG"

	// maxFileBytes keeps a wrong file name from filling the memory.
	maxFileBytes = 256 << 10
)

// Options say where to load from.
type Options struct {
	// File is the TOML file. When it is empty, the variable [EnvFile] of Env
	// names it, and failing that [DefaultFile] is read if it exists.
	File string
	// Env is the environment, as os.Environ returns it.
	Env []string
	// Flags are the values of the flags that were given, by dotted key.
	Flags map[string]string
}

// Load reads and checks the configuration. Its error is [Problems], which
// lists all that is wrong.
func Load(opts Options) (*Config, error) {
	root := schema()
	tree := koanf.New(".")
	sources := map[string]string{}
	var problems Problems

	name, required := fileName(opts)
	fromFile, dir := loadFile(root, name, required)
	for _, l := range []*layer{defaults(root, dir), fromFile, loadEnv(root, opts.Env), loadFlags(root, opts.Flags)} {
		l.findOverlaps()
		problems = append(problems, l.problems...)
		if len(l.problems) > 0 {
			continue
		}
		if err := tree.Load(confmap.Provider(l.values, "."), nil); err != nil {
			return nil, fmt.Errorf("merging the configuration: %w", err)
		}
		for key, source := range l.sources {
			sources[key] = source
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if err := addEntryDefaults(tree, root, nil); err != nil {
		return nil, fmt.Errorf("merging the configuration: %w", err)
	}

	cfg := &Config{}
	// The values have their final types already, so nothing is converted here
	// and a mistake in the schema shows as an error.
	err := tree.UnmarshalWithConf("", cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		ErrorUnused: true, Result: cfg, TagName: "koanf",
	}})
	if err != nil {
		return nil, fmt.Errorf("reading the merged configuration: %w", err)
	}
	cfg.entries = entries(tree, sources)
	cfg.values = tree.All()
	cfg.opts, cfg.file = Options{File: opts.File, Env: slices.Clone(opts.Env), Flags: maps.Clone(opts.Flags)}, name
	if problems := cfg.check(sources); len(problems) > 0 {
		return nil, problems
	}
	return cfg, nil
}

// fileName says which file to read and whether it has to be there.
func fileName(opts Options) (name string, required bool) {
	if opts.File != "" {
		return opts.File, true
	}
	for _, variable := range opts.Env {
		if value, ok := strings.CutPrefix(variable, EnvFile+"="); ok && value != "" {
			name = value
		}
	}
	if name != "" {
		return name, true
	}
	return DefaultFile, false
}

// defaults is the lowest layer. The default paths are relative to the file's
// folder if there is a file, as if they were written in it.
func defaults(root *node, dir string) *layer {
	l := newLayer(dir, true)
	var walk func(n *node, path []string)
	walk = func(n *node, path []string) {
		for _, name := range n.names() {
			child, below := n.keys[name], append(slices.Clip(path), name)
			if child.leaf != nil && child.leaf.def != nil {
				value := child.leaf.def
				if child.leaf.path {
					value = filepath.Join(dir, value.(string))
				}
				l.set(below, value, "default")
			}
			walk(child, below)
		}
	}
	walk(root, nil)
	return l
}

// addEntryDefaults completes the entries of tables with free names: what a
// worker or a handle leaves out has its default.
func addEntryDefaults(tree *koanf.Koanf, n *node, path []string) error {
	key := strings.Join(path, ".")
	if n.each != nil {
		for _, name := range tree.MapKeys(key) {
			if err := addEntryDefaults(tree, n.each, append(slices.Clip(path), name)); err != nil {
				return err
			}
		}
	}
	for name, child := range n.keys {
		below := append(slices.Clip(path), name)
		if child.leaf == nil {
			if err := addEntryDefaults(tree, child, below); err != nil {
				return err
			}
			continue
		}
		if full := strings.Join(below, "."); child.leaf.def != nil && !tree.Exists(full) {
			if err := tree.Set(full, child.leaf.def); err != nil {
				return fmt.Errorf("setting %s: %w", full, err)
			}
		}
	}
	return nil
}

// loadFile reads the TOML file. The folder is what paths in it are relative
// to: "" when no file was read or it is in the working directory.
func loadFile(root *node, name string, required bool) (l *layer, dir string) {
	dir = filepath.Dir(name)
	if dir == "." {
		dir = ""
	}
	l = newLayer(dir, true)
	source := "file " + name
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		return l, ""
	case err != nil:
		l.problem(nil, source, "cannot be read: %v", reason(err))
		return l, dir
	case !info.Mode().IsRegular():
		l.problem(nil, source, "is not a file")
		return l, dir
	case info.Size() > maxFileBytes:
		l.problem(nil, source, "has %d bytes; a configuration has at most %d", info.Size(), maxFileBytes)
		return l, dir
	}
	raw := koanf.New(".")
	if err := raw.Load(file.Provider(name), toml.Parser()); err != nil {
		l.problem(nil, source, "%s", tomlError(err))
		return l, dir
	}
	l.add(root, nil, raw.Raw(), source)
	return l, dir
}

// loadEnv reads the environment.
func loadEnv(root *node, environ []string) *layer {
	l := newLayer("", false)
	environ = slices.Clone(environ)
	slices.Sort(environ)
	provider := env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if name != EnvFile {
				l.addPath(root, envPath(name), value, "environment "+name)
			}
			return "", nil // what counts was added to the layer
		},
	})
	if _, err := provider.Read(); err != nil {
		l.problem(nil, "environment", "cannot be read: %v", err)
	}
	return l
}

// envPath turns a variable's name into the parts of a key.
func envPath(name string) []string {
	parts := strings.Split(strings.TrimPrefix(name, EnvPrefix), "__")
	for i, part := range parts {
		if i > 0 && parts[0] == "settings" {
			break // case counts from here on
		}
		parts[i] = strings.ToLower(part)
	}
	return parts
}

// loadFlags reads the flags of the command line.
func loadFlags(root *node, flags map[string]string) *layer {
	l := newLayer("", false)
	keys := make([]string, 0, len(flags))
	for key := range flags {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		l.addPath(root, strings.Split(key, "."), flags[key], "flag "+FlagName(key))
	}
	return l
}

// FlagName returns the flag that sets a key: --log-level for log.level.
func FlagName(key string) string {
	return "--" + strings.NewReplacer(".", "-", "_", "-").Replace(key)
}

// findOverlaps refuses a layer that sets settings.a and settings.a.b, of which
// only one can be.
func (l *layer) findOverlaps() {
	for _, key := range sortedKeys(l.values) {
		for i, c := range key {
			if c != '.' {
				continue
			}
			if above, ok := l.values[key[:i]]; ok {
				if m, table := above.(map[string]any); table && len(m) == 0 {
					continue
				}
				l.problem(strings.Split(key, "."), l.sources[key], "cannot be set because %s sets %s to a value", l.sources[key[:i]], key[:i])
			}
		}
	}
}

// reason leaves the operation and the name out of a file error, which are said
// already.
func reason(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// tomlError says where the TOML is wrong.
func tomlError(err error) string {
	var at interface{ Position() (row, column int) }
	if errors.As(err, &at) {
		row, column := at.Position()
		return fmt.Sprintf("line %d, column %d: %s", row, column, strings.TrimPrefix(err.Error(), "toml: "))
	}
	return err.Error()
}
