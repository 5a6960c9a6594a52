package config

import (
	"context"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// pollInterval is how often Watch looks at the file. It asks the file system
// instead of being told: that works on all of them, and whatever way the file
// is replaced.
const pollInterval = time.Second

// Watch loads the configuration anew, as c was loaded, whenever its file has
// changed and looks the same twice, and hands over what came of it: the new
// configuration, or what is wrong with it. A file that says the same as before
// is passed over. It returns when ctx ends.
func (c *Config) Watch(ctx context.Context, told func(next *Config, err error)) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	c.watch(ctx, tick.C, told)
}

func (c *Config) watch(ctx context.Context, tick <-chan time.Time, told func(*Config, error)) {
	now, loaded := c, stamp(c.file)
	var seen fileStamp
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		before := seen
		if seen = stamp(c.file); seen == loaded || seen != before {
			continue // nothing new, or it may be half written
		}
		loaded = seen
		next, err := Load(c.opts)
		switch {
		case err != nil:
			told(nil, err)
		case len(Changes(now, next)) > 0:
			now = next
			told(next, nil)
		}
	}
}

// fileStamp is zero for no file.
type fileStamp struct {
	size     int64
	modified time.Time
}

func stamp(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

// Changes lists the keys that are not the same in two configurations, sorted.
// Values of secrets are compared, and not shown.
func Changes(before, after *Config) []string {
	var keys []string
	for key, v := range before.values {
		if w, ok := after.values[key]; !ok || !reflect.DeepEqual(v, w) {
			keys = append(keys, key)
		}
	}
	for key := range after.values {
		if _, ok := before.values[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Live says whether a running host follows a change of the key. The others are
// read when it starts.
func Live(key string) bool {
	if strings.HasPrefix(key, "settings.") {
		return true
	}
	rest, ok := strings.CutPrefix(key, "workers.")
	if !ok {
		return false
	}
	_, rest, _ = strings.Cut(rest, ".") // names of workers have no dots
	for _, live := range []string{"grants", "handles", "on", "schedule", "limits.rows", "limits.events", "limits.tasks", "limits.ai_tokens", "limits.ai_cost_usd"} {
		if rest == live || strings.HasPrefix(rest, live+".") {
			return true
		}
	}
	return false
}
