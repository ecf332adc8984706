package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

// Argo CD runs a script for no longer than this.
const limit = time.Second

// Which libraries a script finds. Argo CD gives all of them to the checks that it ships, and the safe ones to Lua from
// `argocd-cm` unless somebody sets `useOpenLibs` for the kind.
type libraries int

const (
	safeLibraries libraries = iota
	allLibraries
)

// What the interpreter, or Argo CD behind it, does not accept.
type refusal string

func (r refusal) Error() string { return string(r) }

// health is what a health check says of an object.
func health(script string, libraries libraries, object map[string]any) (any, error) {
	// Argo CD says so by itself before it asks any check, so none ever sees such an object.
	if metadata, ok := object["metadata"].(map[string]any); ok && metadata["deletionTimestamp"] != nil {
		return map[string]any{"status": "Progressing", "message": "Pending deletion"}, nil
	}
	text, err := returned(script, libraries, object)
	if err != nil {
		return nil, err
	}
	var found struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, refusal(fmt.Sprintf("not a status: %s", text))
	}
	known := []string{"Unknown", "Progressing", "Suspended", "Healthy", "Degraded", "Missing"}
	if !slices.Contains(known, found.Status) {
		found.Status, found.Message = "Unknown", "Lua returned an invalid health status"
	}
	return map[string]any{"status": found.Status, "message": found.Message}, nil
}

// discovery is which actions there are for an object.
func discovery(script string, object map[string]any) (any, error) {
	text, err := returned(script, safeLibraries, object)
	if err != nil {
		return nil, err
	}
	var actions map[string]json.RawMessage
	// An empty table of Lua is an empty array.
	if string(text) != "[]" {
		if err := json.Unmarshal(text, &actions); err != nil {
			return nil, refusal(fmt.Sprintf("not a table of actions: %s", text))
		}
	}
	return map[string]any{"actions": actions}, nil
}

// action is the object as an action leaves it. Argo CD compares it with the one before and patches what differs.
func action(script string, object map[string]any) (any, error) {
	text, err := returned(script, safeLibraries, object)
	if err != nil {
		return nil, err
	}
	var after map[string]any
	if err := json.Unmarshal(text, &after); err != nil {
		return nil, refusal(fmt.Sprintf("not an object: %s", text))
	}
	return map[string]any{"object": keepMaps(after, object)}, nil
}

// keepMaps undoes what Lua does to an empty map: it has one kind of table, which comes back as an array. Argo CD
// undoes it likewise, where the object had a map before.
func keepMaps(after, before any) any {
	switch was := before.(type) {
	case map[string]any:
		switch is := after.(type) {
		case []any:
			if len(is) == 0 {
				return map[string]any{}
			}
		case map[string]any:
			for key, value := range is {
				if old, ok := was[key]; ok {
					is[key] = keepMaps(value, old)
				}
			}
		}
	case []any:
		if is, ok := after.([]any); ok {
			for at := range min(len(is), len(was)) {
				is[at] = keepMaps(is[at], was[at])
			}
		}
	}
	return after
}

// returned runs a script and gives the table that it returns, as JSON.
func returned(script string, libraries libraries, object map[string]any) ([]byte, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: libraries != allLibraries})
	defer state.Close()
	// In this order: the first one keeps the list of what is loaded.
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, clock)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state.SetContext(ctx)

	state.SetGlobal("actionParams", state.NewTable())
	state.SetGlobal("obj", luajson.DecodeValue(state, object))
	if err := state.DoString(script); err != nil {
		return nil, refusal(err.Error())
	}
	table := state.Get(-1)
	if table.Type() != lua.LTTable {
		return nil, refusal(fmt.Sprintf("it returns a %s, not a table", table.Type()))
	}
	text, err := luajson.Encode(table)
	if err != nil {
		return nil, refusal(err.Error())
	}
	return text, nil
}
