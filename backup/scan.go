package backup

import (
	"bytes"
	"regexp"
	"strings"
)

// dumpScan reads a dump as it streams past: it counts what is in it, and picks the content files out of
// the rows of Moodle's table files. It understands what mariadb-dump and mysqldump write, where no line
// break stands inside a row (they escape it), and keeps no more than a line's beginning in memory.
type dumpScan struct {
	filesTable string // with prefix
	// found is told each row of the files table: its content hash as written, size, and whether it points elsewhere.
	found func(hash []byte, size []byte, alias bool) error
	// begun is told of the first table, which a program with --single-transaction writes only when its
	// transaction, and with it the snapshot, has begun; nil if nobody asks.
	begun func()

	rows      map[string]int64
	tables    int64
	views     int64
	triggers  int64
	routines  int64
	events    int64
	longest   int64 // bytes of the longest INSERT
	completed bool  // the last line says so

	mode      scanMode
	head      []byte // beginning of the current line
	lineStart bool
	last      byte // of the current line so far
	table     string
	columns   []string // of the files table, in order
	statement int64    // bytes of the current INSERT
	freshBody bool     // in a body: the next line begins a statement
	row       rowScan
}

type scanMode int

const (
	inText   scanMode = iota // comments, DDL, settings
	inCreate                 // column lines of the files table
	inBody                   // between DELIMITER ;; and DELIMITER ;
	inRows                   // rows of a table that is only counted, one a line
	inValues                 // rows that are looked into byte by byte
)

// headLimit is how much of a line is looked at: a table or view name has at most 64 characters (of 4
// bytes), an account's name and host 80 and 255.
// Columns of a table may be listed before its values.
const headLimit = 64 << 10

func newDumpScan(filesTable string, found func(hash, size []byte, alias bool) error) *dumpScan {
	return &dumpScan{filesTable: filesTable, found: found, rows: map[string]int64{}, lineStart: true}
}

// Write takes the next bytes of the dump.
func (d *dumpScan) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var used int
		var err error
		switch {
		case d.mode == inValues:
			used, err = d.values(p)
		case d.lineStart:
			used, err = d.start(p)
		default:
			used = d.rest(p)
		}
		if err != nil {
			return 0, err
		}
		p = p[used:]
	}
	return n, nil
}

// start collects the beginning of a line, and looks at it once there is enough of it.
func (d *dumpScan) start(p []byte) (int, error) {
	limit := headLimit
	if d.mode == inRows {
		limit = 1
	}
	part := p[:min(len(p), limit-len(d.head))]
	end := bytes.IndexByte(part, '\n')
	if end >= 0 {
		part = part[:end]
	}
	d.head = append(d.head, part...)
	if end < 0 && len(d.head) < limit {
		return len(part), nil
	}
	d.lineStart = false
	if len(d.head) > 0 {
		d.last = d.head[len(d.head)-1]
	}
	d.statement += int64(len(d.head)) + 1
	values, found := d.insert()
	if !found {
		return len(part), nil
	}
	_, err := d.values(values)
	d.head = d.head[:0]
	return len(part), err
}

// rest passes over the remainder of a line.
func (d *dumpScan) rest(p []byte) int {
	end := bytes.IndexByte(p, '\n')
	part := p
	if end >= 0 {
		part = p[:end]
	}
	if len(part) > 0 {
		d.last = part[len(part)-1]
	}
	d.statement += int64(len(part))
	if end < 0 {
		return len(p)
	}
	d.endLine()
	return end + 1
}

var (
	createView = []byte("/*!50001 VIEW ")
	createBody = regexp.MustCompile("(?i)^(?:/\\*!\\d+ )?CREATE(?:\\*/)?\\s+(?:/\\*M?!\\d+ )?(?:OR REPLACE )?" +
		"(?:DEFINER\\s*=\\s*(?:`(?:[^`]|``)*`|[^\\s`@]+)(?:@(?:`(?:[^`]|``)*`|[^\\s`*]+))?\\s*(?:\\*/)?)?\\s*(?:/\\*M?!\\d+ )?" +
		"(?:AGGREGATE )?(TRIGGER|FUNCTION|PROCEDURE|PACKAGE|EVENT)\\b")
)

// endLine looks at the line as a whole, of which head is the beginning.
func (d *dumpScan) endLine() {
	switch d.mode {
	case inText, inCreate:
		d.text()
	case inBody:
		d.body()
	case inRows:
		if len(d.head) > 0 && d.head[0] == '(' {
			d.rows[d.table]++
		}
		if d.last == ';' {
			d.endStatement()
		}
	case inValues:
	}
	d.head, d.lineStart, d.last = d.head[:0], true, 0
}

func (d *dumpScan) text() {
	switch line := d.head; {
	case d.mode == inCreate && bytes.HasPrefix(line, []byte("  `")):
		name, _ := identifier(line[2:])
		d.columns = append(d.columns, name)
	case d.mode == inCreate && bytes.HasPrefix(line, []byte(")")):
		d.mode = inText
	case bytes.HasPrefix(line, []byte("CREATE TABLE `")):
		d.table, _ = identifier(line[len("CREATE TABLE "):])
		d.rows[d.table] += 0
		if d.tables++; d.tables == 1 && d.begun != nil {
			d.begun()
		}
		if d.table == d.filesTable {
			d.mode, d.columns = inCreate, nil
		}
	case bytes.HasPrefix(line, createView):
		d.views++
	case bytes.HasPrefix(line, []byte("DELIMITER ;;")):
		d.mode, d.freshBody = inBody, true
	case bytes.HasPrefix(line, []byte("-- Dump completed")):
		d.completed = true
		return
	}
	if len(d.head) > 0 {
		d.completed = false
	}
}

// body counts the statement that begins on this line. Its own text is never mistaken for one.
func (d *dumpScan) body() {
	if bytes.HasPrefix(d.head, []byte("DELIMITER ;")) && !bytes.HasPrefix(d.head, []byte("DELIMITER ;;")) {
		d.mode = inText
		return
	}
	if d.freshBody {
		if found := createBody.FindSubmatch(d.head); found != nil {
			switch strings.ToUpper(string(found[1])) {
			case "TRIGGER":
				d.triggers++
			case "EVENT":
				d.events++
			default:
				d.routines++
			}
		}
	}
	if len(d.head) > 0 {
		// The client's own delimiter ends the statement, so it stands at the end of a line.
		d.freshBody = d.last == ';' && (bytes.HasSuffix(bytes.TrimRight(d.head, " "), []byte(";;")) || len(d.head) == headLimit) ||
			bytes.HasPrefix(d.head, []byte("DELIMITER"))
	}
}

// insert looks at the beginning of a line for an INSERT. It returns the bytes after VALUES if those are to
// be looked into; rows that stand one a line, of a table that is only counted, are passed over quickly.
func (d *dumpScan) insert() (values []byte, found bool) {
	if d.mode != inText || !bytes.HasPrefix(d.head, []byte("INSERT INTO `")) {
		return nil, false
	}
	table, rest := identifier(d.head[len("INSERT INTO "):])
	columns, rest := columnList(rest)
	rest, ok := bytes.CutPrefix(rest, []byte(" VALUES"))
	if !ok {
		return nil, false
	}
	d.table, d.statement, d.completed = table, int64(len(d.head))+1, false
	if table != d.filesTable && len(bytes.TrimSpace(rest)) == 0 {
		d.mode = inRows
		return nil, false
	}
	if columns == nil {
		columns = d.columns
	}
	d.statement = int64(len(d.head) - len(rest))
	d.row = newRowScan(table == d.filesTable, columns)
	d.mode = inValues
	return rest, true
}

func (d *dumpScan) endStatement() {
	d.longest = max(d.longest, d.statement)
	d.mode = inText
}
