package main

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	before "github.com/argoproj/argo-cd/v2/resource_customizations"
	now "github.com/argoproj/argo-cd/v3/resource_customizations"
)

// Where Argo CD keeps what it has for SealedSecrets.
const folder = "bitnami.com/SealedSecret"

// What Argo CD ships. Its check for SealedSecrets changed in patch releases, so both are in use: the one before does
// not look at generations.
func shipped(check string) (embed.FS, error) {
	switch check {
	case "built-in":
		return now.Embedded, nil
	case "built-in-before":
		return before.Embedded, nil
	}
	return embed.FS{}, fmt.Errorf("there is no check %q", check)
}

func healthScript(check string) (string, error) {
	files, err := shipped(check)
	if err != nil {
		return "", err
	}
	text, err := files.ReadFile(path.Join(folder, "health.lua"))
	return string(text), err
}

func files(check string) (any, error) {
	all, err := shipped(check)
	if err != nil {
		return nil, err
	}
	ours, err := fs.Sub(all, folder)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	err = fs.WalkDir(ours, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(ours, path)
		texts[path] = string(text)
		return err
	})
	return map[string]any{"files": texts}, err
}
