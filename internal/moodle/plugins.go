package moodle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// DiskPlugins are the plugins in a site's code.
type DiskPlugins struct {
	// Versions maps a component, such as mod_quiz, to the version in its version.php; it is empty where that cannot be
	// told without PHP, or lies behind a link out of the tree.
	Versions map[string]string `json:"versions"`
	// Dropped are plugins that Moodle once brought along and does not any more: nobody has lost them.
	Dropped []string `json:"dropped,omitempty"`
	// Unseen are types of plugins whose directory cannot be looked into.
	Unseen []string `json:"unseen,omitempty"`

	// Dirs are where the plugins lie, and Types where those of each type do, relative to the code.
	Dirs  map[string]string `json:"-"`
	Types map[string]string `json:"-"`
	// Standard are the plugins that this Moodle brings along; nil before 4.2 or so, where only PHP knows them.
	Standard []string `json:"-"`
}

// Limits of what is read from a tree that belongs to others. A large site has 600 plugins of 80 types.
const (
	maxPluginTypes = 500
	maxPlugins     = 5000
)

var (
	errTooManyPlugins = fmt.Errorf("there are more than %d plugins or %d types of them", maxPlugins, maxPluginTypes)
	componentName     = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)
)

// hasSubplugins are the types whose plugins may have plugins of their own (\core_component::$supportsubplugins).
var hasSubplugins = []string{"mod", "editor", "tool", "local"}

// ReadPlugins looks for the plugins of a code tree as \core_component does: the types of plugins and their directories
// stand in lib/components.json, those of subplugins in each plugin's db/subplugins.json.
func ReadPlugins(dir string, version Version) (DiskPlugins, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return DiskPlugins{}, fmt.Errorf("open the code in %s: %w", dir, err)
	}
	defer func() { _ = root.Close() }()
	tree := pluginTree{root: root, found: DiskPlugins{Versions: map[string]string{}, Dirs: map[string]string{}, Types: map[string]string{}}}
	if version.Public {
		tree.web = "public"
	}
	if err := tree.read(); err != nil {
		return DiskPlugins{}, fmt.Errorf("look for plugins in %s: %w", dir, err)
	}
	return tree.found, nil
}

// pluginTree is a code tree that is being read.
type pluginTree struct {
	root  *os.Root
	web   string // the part that the web server serves: public since 5.1
	found DiskPlugins
}

func (t *pluginTree) read() error {
	var components struct {
		Types map[string]string `json:"plugintypes"`
	}
	if err := t.json("lib/components.json", &components); err != nil {
		return err
	}
	var lists struct {
		Standard map[string][]string `json:"standard"`
		Deleted  map[string][]string `json:"deleted"` // since 4.2 or so; before, the list was PHP
	}
	if err := t.json("lib/plugins.json", &lists); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.found.Standard, t.found.Dropped = joined(lists.Standard), joined(lists.Deleted)
	return t.readTypes(components.Types)
}

// joined are the components of a list by types, in order.
func joined(lists map[string][]string) (components []string) {
	for kind, names := range lists {
		for _, name := range names {
			components = append(components, kind+"_"+name)
		}
	}
	slices.Sort(components)
	return components
}

// json reads a file of the root, or of its public part.
func (t *pluginTree) json(name string, into any) error {
	text, err := readCapped(t.root, name)
	if errors.Is(err, fs.ErrNotExist) && t.web != "" {
		text, err = readCapped(t.root, path.Join(t.web, name))
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readTypes reads the plugins of each type, and then those of the types that they bring along.
func (t *pluginTree) readTypes(types map[string]string) error {
	done := map[string]bool{}
	for len(types) > 0 {
		more := map[string]string{}
		for _, kind := range slices.Sorted(maps.Keys(types)) {
			if done[kind] || types[kind] == "" || !componentName.MatchString(kind) {
				continue
			}
			if done[kind] = true; len(done) > maxPluginTypes {
				return errTooManyPlugins
			}
			if err := t.readType(kind, t.place(types[kind]), more); err != nil {
				return err
			}
		}
		types = more
	}
	return nil
}

// place is a directory as the root sees it: lists made for both layouts leave out public.
func (t *pluginTree) place(dir string) string {
	dir = path.Clean(dir)
	if t.web == "" || dir == t.web || strings.HasPrefix(dir, t.web+"/") {
		return dir
	}
	return path.Join(t.web, dir)
}

// readType reads the plugins in the directory of their type, and adds the types of their subplugins to more.
func (t *pluginTree) readType(kind, dir string, more map[string]string) error {
	t.found.Types[kind] = dir
	entries, err := t.entries(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no plugin of this type
	}
	if err != nil {
		t.found.Unseen = append(t.found.Unseen, kind)
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() && entry.Type()&fs.ModeSymlink == 0 || !componentName.MatchString(name) {
			continue
		}
		version, there := t.version(path.Join(dir, name))
		if !there {
			continue
		}
		if t.found.Versions[kind+"_"+name] = version; len(t.found.Versions) > maxPlugins {
			return errTooManyPlugins
		}
		t.found.Dirs[kind+"_"+name] = path.Join(dir, name)
		if slices.Contains(hasSubplugins, kind) {
			t.subtypes(path.Join(dir, name), more)
		}
	}
	return nil
}

// entries lists a directory, and nothing that is none: opening a pipe would never end.
func (t *pluginTree) entries(dir string) ([]fs.DirEntry, error) {
	opened, err := t.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	entries, err := opened.ReadDir(maxPlugins)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

// version reads a plugin's version.php; a directory without one is no plugin. What cannot be read may be one.
func (t *pluginTree) version(dir string) (version string, there bool) {
	text, err := readCapped(t.root, path.Join(dir, "version.php"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		return "", true
	}
	return assignments(text, dir).values["plugin->version"], true
}

// subtypes adds the types that a plugin declares: under subplugintypes, relative to itself, since 5.0, and before that
// under plugintypes, relative to the web root; old plugins say that in PHP.
func (t *pluginTree) subtypes(dir string, more map[string]string) {
	var declared struct {
		Legacy   map[string]string `json:"plugintypes"`
		Relative map[string]string `json:"subplugintypes"`
	}
	text, err := readCapped(t.root, path.Join(dir, "db/subplugins.json"))
	if err != nil {
		text, _ = readCapped(t.root, path.Join(dir, "db/subplugins.php"))
		for name, place := range assignments(text, dir).values {
			if kind, found := strings.CutPrefix(name, "subplugins["); found {
				more[strings.TrimSuffix(kind, "]")] = place
			}
		}
		return
	}
	if json.Unmarshal([]byte(text), &declared) != nil {
		return
	}
	for kind, place := range declared.Legacy {
		more[kind] = place
	}
	for kind, place := range declared.Relative {
		more[kind] = path.Join(dir, place)
	}
}

// Missing are the installed plugins whose code is gone, as \core_plugin_manager tells: installed maps components to the
// versions in the database.
func (d DiskPlugins) Missing(installed map[string]string) []string {
	var missing []string
	for component := range installed {
		kind, name, valid := strings.Cut(component, "_")
		if !valid || kind == "" || name == "" {
			continue
		}
		_, there := d.Versions[component]
		if !there && !slices.Contains(d.Dropped, component) && !slices.Contains(d.Unseen, kind) {
			missing = append(missing, component)
		}
	}
	slices.Sort(missing)
	return missing
}
