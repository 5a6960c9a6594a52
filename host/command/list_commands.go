package command

import "context"

// commands/list {} -> {commands: [name…]}
//
// A caller sees what it may call, and no other name.
func listCommands(r *Router) Handler {
	return func(_ context.Context, c Caller, params map[string]any) (any, error) {
		if err := FieldsOf(params).End(); err != nil {
			return nil, err
		}
		names := []string{}
		for _, name := range r.Names() {
			if c.MayCall(name) {
				names = append(names, name)
			}
		}
		return map[string]any{"commands": names}, nil
	}
}
