package host

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
)

// now is the configuration as it is in its file. What was started with an older
// one keeps that: see [config.Live].
func (h *Host) now() *config.Config { return h.live.Load() }

// reload follows changes of the configuration's file until ctx ends. A file that
// cannot be is refused, and the configuration stays.
func (h *Host) reload(ctx context.Context) {
	h.cfg.Watch(ctx, func(next *config.Config, err error) {
		if err != nil {
			h.log.Error("the new configuration is refused, the old one stays", "error", err)
			h.tellConfig(ctx, "config:refused", map[string]any{"error": clipText(err.Error())})
			return
		}
		var followed, later []string
		for _, key := range config.Changes(h.now(), next) {
			if config.Live(key) {
				followed = append(followed, key)
			} else {
				later = append(later, key)
			}
		}
		h.live.Store(next)
		h.fleet.wake()
		h.log.Info("the configuration has changed", "keys", strings.Join(followed, " "))
		if len(later) > 0 {
			h.log.Warn("some changes take effect when the host starts the next time", "keys", strings.Join(later, " "))
		}
		h.tellConfig(ctx, "config:changed", map[string]any{"keys": followed, "at_next_start": later})
	})
}

func (h *Host) tellConfig(ctx context.Context, name string, data map[string]any) {
	b, err := json.Marshal(data)
	if err == nil {
		_, err = h.state.Events.Emit(ctx, command.Event{Name: name, Data: b})
	}
	if err != nil && ctx.Err() == nil {
		h.log.Warn("a change of the configuration was not told", "error", err)
	}
}

// clipText keeps what goes into an event far below its limit.
func clipText(s string) string {
	const most = 4096
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
