package collector

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// fileWait is how long a scrape waits for the file system of a dataroot, which is often a network share.
const fileWait = time.Second

// MaintenanceFiles looks for the file climaintenance.html in the dataroot of sites. A share that hangs holds
// one goroutine for each site, however often it is asked.
type MaintenanceFiles struct {
	mu   sync.Mutex
	open map[string]bool // sites with a call under way
}

// NewMaintenanceFiles returns a MaintenanceFiles with no call under way.
func NewMaintenanceFiles() *MaintenanceFiles {
	return &MaintenanceFiles{open: make(map[string]bool)}
}

// On says whether the file stands; known is false where the dataroot is closed to this account or hangs.
func (m *MaintenanceFiles) On(ctx context.Context, site *moodle.Site) (on, known bool) {
	dataroot := site.Config.DataRoot
	if dataroot == "" || !m.begin(site.Name) {
		return false, false
	}
	result := make(chan error, 1)
	go func() {
		_, err := os.Lstat(filepath.Join(dataroot, "climaintenance.html"))
		m.end(site.Name)
		result <- err
	}()
	patience := time.NewTimer(fileWait)
	defer patience.Stop()
	select {
	case err := <-result:
		return err == nil, err == nil || errors.Is(err, fs.ErrNotExist)
	case <-patience.C:
	case <-ctx.Done():
	}
	return false, false
}

func (m *MaintenanceFiles) begin(site string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open[site] {
		return false
	}
	m.open[site] = true
	return true
}

func (m *MaintenanceFiles) end(site string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, site)
}
