package stand

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Release is code of the stand-in as a new release of Moodle brings it: without a configuration, and without plugins of
// others.
type Release struct {
	Layout   string // "4.5" (default) or "5.1", whose web files lie under public/
	Version  string // 2024100706.00; default that of a new site
	Release  string // 4.5.6 (Build: 20250811)
	Branch   string // 405
	Maturity string // MATURITY_STABLE (default), MATURITY_BETA
	// Upgrade is PHP that is run in the course of admin/cli/upgrade.php; it may throw.
	Upgrade string
	PHP     string   // version that it needs by its admin/environment.xml; empty for any
	Without []string // components that Moodle ships and this release does not
	Deleted []string // those of them that it knows to be gone
}

// WriteRelease writes the code of a release into a directory.
func WriteRelease(dir string, r Release) error {
	s, err := describeSite("", SiteOptions{Version: r.Layout, CodeDir: dir, Dataroot: dir, WWWRoot: "https://localhost"})
	if err != nil {
		return err
	}
	s.Version, s.Release, s.Branch = orDefault(r.Version, s.Version), orDefault(r.Release, s.Release), orDefault(r.Branch, s.Branch)
	if err := s.writeCode(); err != nil {
		return fmt.Errorf("write the code of a release: %w", err)
	}
	if err := s.leaveOut(append([]string{thirdParty}, r.Without...), r.Deleted); err != nil {
		return fmt.Errorf("write the code of a release: %w", err)
	}
	return s.change(r)
}

// leaveOut takes plugins out of the code and out of the list of those that Moodle brings along.
func (s *Site) leaveOut(components, deleted []string) error {
	list := filepath.Join(s.CodeDir, "lib/plugins.json")
	content, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var lists map[string]map[string][]string
	if err := json.Unmarshal(content, &lists); err != nil {
		return err
	}
	for _, component := range components {
		dir, err := s.PluginDir(component)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		kind, name, _ := strings.Cut(component, "_")
		lists["standard"][kind] = slices.DeleteFunc(lists["standard"][kind], func(one string) bool { return one == name })
	}
	for _, component := range deleted {
		kind, name, _ := strings.Cut(component, "_")
		lists["deleted"][kind] = append(lists["deleted"][kind], name)
	}
	if content, err = json.MarshalIndent(lists, "", "    "); err != nil {
		return err
	}
	return writeFile(list, content)
}

func (s *Site) change(r Release) error {
	version := filepath.Join(s.DocRoot, "version.php")
	text, err := os.ReadFile(version)
	if err != nil {
		return err
	}
	changed := strings.ReplaceAll(string(text), "MATURITY_STABLE", orDefault(r.Maturity, "MATURITY_STABLE"))
	if err := writeFile(version, []byte(changed)); err != nil {
		return err
	}
	if r.PHP != "" {
		xml := fmt.Sprintf("<?xml version=\"1.0\"?>\n<COMPATIBILITY_MATRIX><MOODLE><PHP version=\"%s\" level=\"required\"/></MOODLE></COMPATIBILITY_MATRIX>\n", r.PHP)
		if err := writeFile(filepath.Join(s.DocRoot, "admin/environment.xml"), []byte(xml)); err != nil {
			return err
		}
	}
	if r.Upgrade == "" {
		return nil
	}
	steps := "<?php\nfunction xmldb_main_upgrade(float $oldversion): bool {\n    global $CFG, $DB;\n" + r.Upgrade + "\n    return true;\n}\n"
	return writeFile(filepath.Join(s.DocRoot, "lib/db/upgrade.php"), []byte(steps))
}
