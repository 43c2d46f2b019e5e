package backup

import (
	"slices"
	"time"
)

// Format is the version of the layout that this program writes.
const Format = 1

// Components of a backup, as configuration and metrics name them. A backup with the first four is complete.
const (
	Database = "database"
	Files    = "files"
	Code     = "code"
	Config   = "config"
	Logs     = "logs"
	System   = "system"
)

// Components are all there are, in the order in which they are shown.
var Components = []string{Database, Files, Code, Config, Logs, System}

// needed are the components without which a site cannot be brought back.
var needed = []string{Database, Files, Code, Config}

// Manifest describes one backup and is written last: without it there is no backup. It holds no secret.
type Manifest struct {
	Format     int              `json:"format"`
	ID         string           `json:"id"`
	Site       string           `json:"site"`
	Host       string           `json:"host"`
	Tool       string           `json:"tool"` // version of the program that made it
	Started    time.Time        `json:"started"`
	Ended      time.Time        `json:"ended"`
	Components []string         `json:"components"`
	Moodle     Moodle           `json:"moodle"`
	Database   *DatabaseContent `json:"database,omitempty"`
	Filedir    *FiledirContent  `json:"filedir,omitempty"`
	Files      []File           `json:"files"`
	Steps      []StepTime       `json:"steps"`
	Warnings   []string         `json:"warnings,omitempty"`
	// Incomplete says what of the site's content is not in the backup although all components are; empty
	// where nothing is known to be left out.
	Incomplete string `json:"incomplete,omitempty"`
	// SameFilesystem: the backup lies on the file system that holds the site's data.
	SameFilesystem bool `json:"same_filesystem"`
	// Digest is the SHA-256 of manifest.json itself with the digits of this field, its last, replaced by zeros.
	Digest string `json:"manifest_sha256"`
}

// Moodle is the site as it was.
type Moodle struct {
	WWWRoot    string            `json:"wwwroot"`
	Version    string            `json:"version"`
	Release    string            `json:"release"`
	Branch     string            `json:"branch"`
	Public     bool              `json:"public"` // web files lie under public/, since 5.1
	GitCommit  string            `json:"git_commit,omitempty"`
	PHP        string            `json:"php,omitempty"`
	User       string            `json:"user"` // whom the site's PHP runs as
	Code       string            `json:"code"`
	Dataroot   string            `json:"dataroot"`
	Filedir    string            `json:"filedir"`
	FileSystem string            `json:"alternative_file_system_class,omitempty"` // content may lie outside filedir
	Plugins    map[string]string `json:"plugins,omitempty"`                       // component to version, as installed in the database
}

// DatabaseContent is what the dump holds, counted while it was written.
type DatabaseContent struct {
	Kind      string           `json:"kind"` // MariaDB or MySQL
	Version   string           `json:"version"`
	Client    string           `json:"client"` // program that dumped it
	Name      string           `json:"name"`
	Prefix    string           `json:"prefix"`
	Charset   string           `json:"charset"`
	Collation string           `json:"collation"`
	Rows      map[string]int64 `json:"rows"` // of each table
	Views     int64            `json:"views"`
	Triggers  int64            `json:"triggers"`
	Routines  int64            `json:"routines"`
	Events    int64            `json:"events"`
	// LongestStatement is the max_allowed_packet that loading the dump needs at least, in bytes.
	LongestStatement int64 `json:"longest_statement_bytes"`
	MaxAllowedPacket int64 `json:"max_allowed_packet_bytes"` // of the server that was dumped
}

// FiledirContent sums up the content files. Sizes are in bytes.
type FiledirContent struct {
	Blobs    int64 `json:"blobs"` // in this backup
	Size     int64 `json:"size"`
	NewBlobs int64 `json:"new_blobs"` // that were not in the pool before
	NewSize  int64 `json:"new_size"`
	Missing  int64 `json:"missing"`  // named by the database, found neither in filedir nor pool nor trashdir
	Accepted int64 `json:"accepted"` // missing ones that an administrator has accepted
	Aliases  int64 `json:"aliases_missing"`
	// External are in none of these places either, but in object storage of the site's, as the plugin
	// objectfs says; their size is that of the database.
	External     int64 `json:"external,omitempty"`
	ExternalSize int64 `json:"external_size,omitempty"`
	Rescued      int64 `json:"rescued"`   // taken from trashdir
	Corrupt      int64 `json:"corrupt"`   // in the site, with content that is not what their name says; not backed up
	DirMode      int64 `json:"dir_mode"`  // of the site's filedir, as in stat(2)
	FileMode     int64 `json:"file_mode"` // of a content file
}

// File is one file of a backup. Sizes are in bytes, sums in lower-case hexadecimal.
type File struct {
	Name          string `json:"name"`
	Component     string `json:"component,omitempty"` // none for RESTORE.txt
	Size          int64  `json:"size"`                // as stored
	SHA256        string `json:"sha256"`              // as stored
	ContentSize   int64  `json:"content_size"`        // uncompressed
	ContentSHA256 string `json:"content_sha256"`      // uncompressed
	// SameAs is the earlier backup whose file of this name this one is a hard link to.
	SameAs string `json:"same_as,omitempty"`
	// State is a digest of name, size, times and inode of everything an archive was made from; an
	// archive is not made anew while it stays the same.
	State string `json:"state,omitempty"`
}

// StepTime says how long a step took.
type StepTime struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Complete says whether a site can be brought back from this backup alone.
func (m *Manifest) Complete() bool { return m.full() && m.Incomplete == "" }

// full says whether all components are there that a site needs.
func (m *Manifest) full() bool {
	for _, component := range needed {
		if !slices.Contains(m.Components, component) {
			return false
		}
	}
	return true
}

// Has says whether a component is in the backup.
func (m *Manifest) Has(component string) bool { return slices.Contains(m.Components, component) }

// File finds a file of the backup by name.
func (m *Manifest) File(name string) (File, bool) {
	i := slices.IndexFunc(m.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return File{}, false
	}
	return m.Files[i], true
}

// Size is what a component restores to, in bytes.
func (m *Manifest) Size(component string) (size int64) {
	for _, file := range m.Files {
		if file.Component == component {
			size += file.ContentSize
		}
	}
	if component == Files && m.Filedir != nil {
		size += m.Filedir.Size
	}
	return size
}

// Written is what a component has newly stored, in bytes.
func (m *Manifest) Written(component string) (size int64) {
	for _, file := range m.Files {
		if file.Component == component && file.SameAs == "" {
			size += file.Size
		}
	}
	if component == Files && m.Filedir != nil {
		size += m.Filedir.NewSize
	}
	return size
}
