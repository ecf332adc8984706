package main

import (
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// clock is the module that `require("os")` gives: of all of Lua's `os`, Argo CD leaves a script `time` and `date`.
// Here they are without a table as argument and with the directives that a timestamp takes; what Argo CD writes for
// these is the same. More is refused rather than guessed.
func clock(state *lua.LState) int {
	state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{
		"time": func(state *lua.LState) int {
			if state.GetTop() != 0 {
				state.RaiseError("os.time with an argument is not known here")
			}
			state.Push(lua.LNumber(time.Now().Unix()))
			return 1
		},
		"date": func(state *lua.LState) int {
			format, now := state.CheckString(1), time.Now()
			if utc, ok := strings.CutPrefix(format, "!"); ok {
				format, now = utc, now.UTC()
			}
			state.Push(lua.LString(written(state, format, now)))
			return 1
		},
	}))
	return 1
}

func written(state *lua.LState, format string, at time.Time) string {
	directives := map[byte]string{
		'Y': "2006", 'm': "01", 'd': "02", 'F': "2006-01-02", 'H': "15", 'M': "04", 'S': "05", 'X': "15:04:05",
	}
	var text strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			text.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) || directives[format[i]] == "" {
			state.RaiseError("os.date with %q is not known here", format)
		}
		text.WriteString(at.Format(directives[format[i]]))
	}
	return text.String()
}
