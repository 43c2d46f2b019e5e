package database

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// footer is how a whole dump ends.
const footer = "\n-- Dump completed\n"

// readAll reads a dump as Load does, without a server.
func readAll(from io.Reader) (statements []statement, err error) {
	r := &reader{
		splitter: newSplitter(from), settings: newSettings(), source: "moodle", live: "moodle",
		schemas: map[string]bool{"mysql": true, "moodle": true, "other": true, "sys": true},
	}
	for {
		s, err := r.read()
		if errors.Is(err, io.EOF) {
			if !r.completed {
				return statements, errTruncated
			}
			return statements, nil
		}
		if err != nil {
			return statements, err
		}
		statements = append(statements, s)
	}
}

func TestHostileDumpsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"USE mysql;", "GRANT ALL ON *.* TO x;", "DROP DATABASE moodle;", "DROP TABLE moodle;", "CREATE DATABASE x;", "LOAD DATA INFILE '/etc/passwd' INTO TABLE t;",
		"SELECT * FROM mysql.user INTO OUTFILE '/tmp/x';", "\\! id\n;", "system id;", "source /etc/passwd;", "UPDATE t SET a=1;", "DELETE FROM mysql.user;",
		"SET GLOBAL general_log = 1;", "SET @@GLOBAL.read_only=0;", "SET PERSIST x=1;", "SET PASSWORD='';", "SET sql_log_bin=(SELECT 1);", "CALL p();", "DO SLEEP(5);", "DO SETVAL(`s`, (SELECT 1), 0);",
		"/*!50000 GRANT ALL ON *.* TO x */;", "/*M!100000 DROP DATABASE x */;", "INSTALL SONAME 'x';", "ALTER TABLE `t` DISCARD TABLESPACE;", "ALTER TABLE `t` RENAME `mysql`.`x`;",
		"INSERT INTO `t` SELECT * FROM mysql.user;", "INSERT INTO `t` VALUES ((SELECT 1));", "INSERT INTO `t` VALUES (LOAD_FILE(0x61));", "INSERT INTO `t` VALUES (@@datadir);",
		"INSERT INTO `t` VALUES (1) ON DUPLICATE KEY UPDATE a=1;", "INSERT INTO `t` (`a`) SELECT 1;", "INSERT INTO `mysql`.`user` VALUES (1);", "INSERT INTO mysql.user VALUES (1);",
		"INSERT INTO `t` VALUES (1) /*! , (LOAD_FILE('x')) */;", "REPLACE INTO `t` VALUES (1);", "INSERT INTO `t` VALUES (1) RETURNING 1;",
		"CREATE TABLE `mysql`.`x` (a INT);", "CREATE TABLE mysql.x (a INT);", "CREATE TABLE `x` SELECT 1;", "CREATE TABLE `x` LIKE `mysql`.`user`;", "CREATE TABLE `x` LIKE y;",
		"CREATE TABLE `x` (a INT) ENGINE=FEDERATED CONNECTION='mysql://h/d/t';", "CREATE TABLE `x` (a INT) DATA DIRECTORY='/etc';", "CREATE TABLE `x` (a INT) ENGINE=CONNECT;",
		"CREATE TABLE `x` (a INT, FOREIGN KEY (a) REFERENCES `mysql`.`user` (b));", "CREATE TEMPORARY TABLE `x` (a INT);", "CREATE TABLE `x` (a INT) /*!99999 ' */ SELECT * FROM mysql.user -- '*/;",
		"CREATE USER x;", "CREATE SERVER x FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h');", "CREATE FUNCTION f RETURNS STRING SONAME 'x.so';",
		"CREATE VIEW `v` AS SELECT * FROM mysql.user;", "CREATE VIEW `v` AS SELECT * FROM `MySQL`.`user`;", "CREATE VIEW `other`.`v` AS SELECT 1;",
		"CREATE TRIGGER `t` BEFORE INSERT ON `x` FOR EACH ROW INSERT INTO mysql.user VALUES (1);", "CREATE TRIGGER `t` BEFORE INSERT ON `other`.`x` FOR EACH ROW SET @a = 1;",
		"CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY DO GRANT ALL ON *.* TO x;", "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY DO SET GLOBAL x = 1;",
		"CREATE PROCEDURE `p`() SELECT LOAD_FILE('/etc/passwd');", "CREATE PROCEDURE `p`() SELECT 1 INTO OUTFILE '/tmp/x';", "CREATE PROCEDURE `p`() DROP DATABASE x;",
		"SET sql_mode='ANSI_QUOTES'; CREATE VIEW `v` AS SELECT * FROM \"mysql\".\"user\";",
		"SET sql_mode='NO_BACKSLASH_ESCAPES'; INSERT INTO `t` VALUES ('\\');", "SET NAMES latin1; INSERT INTO `t` VALUES (1);", "SET TIME_ZONE='+02:00'; INSERT INTO `t` VALUES (1);",
		"DELIMITER '\nSELECT 1;", "DELIMITER \\\nSELECT 1;", "CREATE", "INSERT INTO `", "CREATE TABLE `x` (a INT) COMMENT 'open;", "/* open", "",
	} {
		_, err := readAll(strings.NewReader("CREATE TABLE `t` (`a` INT);\n" + text + footer))
		if text == "" {
			if err != nil {
				t.Errorf("a harmless dump is refused: %v", err)
			}
			continue
		}
		if err == nil {
			t.Errorf("not refused: %s", text)
			continue
		}
		for _, content := range []string{"passwd", "mysql.user", "/tmp/x"} {
			if strings.Contains(err.Error(), content) {
				t.Errorf("the refusal of %s tells its content: %v", text, err)
			}
		}
	}
}

func TestTruncatedDumpsAreRefused(t *testing.T) {
	t.Parallel()
	whole := "CREATE TABLE `t` (`a` INT);\nINSERT INTO `t` VALUES (1);\n-- Dump completed"
	for n := range len(whole) {
		if _, err := readAll(strings.NewReader(whole[:n])); err == nil {
			t.Errorf("a dump of %d of %d bytes is taken for a whole one", n, len(whole))
		}
	}
}

// oneByte reads a byte at a time, so that every token falls across two reads.
type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(1, len(p))]) }

func TestSplitterKeepsStatementsWhole(t *testing.T) {
	t.Parallel()
	const text = "/*M!999999\\- enable the sandbox mode */ \n-- a; b\n# c; d\n/* e; f */\nINSERT INTO `a``;b` VALUES ('x;''\\'y','\\\\'),(-1.5e-05,NULL,0xAB,_binary 'z');\n" +
		"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`h`*/ /*!50003 TRIGGER t BEFORE INSERT ON `x` FOR EACH ROW BEGIN -- it's; here\n SET @a = 'b;;c'; END */;;\nDELIMITER ;\n" + footer
	for _, from := range []io.Reader{strings.NewReader(text), oneByte{strings.NewReader(text)}} {
		statements, err := readAll(from)
		if err != nil || len(statements) != 2 {
			t.Fatalf("%d statements: %v", len(statements), err)
		}
		if got := statements[0].table; got != "a`;b" {
			t.Errorf("the table is %q", got)
		}
		o := statements[1].object
		if o.Kind != kindTrigger || o.Name != "t" || o.Table != "x" || o.User != "r" || o.Host != "h" {
			t.Errorf("the trigger is %+v", o)
		}
		if got := o.statement("CURRENT_USER"); !strings.HasPrefix(got, "CREATE DEFINER=CURRENT_USER TRIGGER t BEFORE") || strings.Contains(got, "*/") {
			t.Errorf("its statement is %s", got)
		}
	}
}

func FuzzReadDump(f *testing.F) {
	for _, seed := range []string{"CREATE TABLE `t` (`a` INT);", "INSERT INTO `t` VALUES ('a\\'',1),(NULL,0x0)", "/*!50003 CREATE TRIGGER t */;", "DELIMITER ;;\nSET a=1;;", "CREATE DEFINER=a@b SQL SECURITY", "SET @a=@@b,"} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, slow bool) {
		var from io.Reader = bytes.NewReader(text)
		if slow {
			from = oneByte{from}
		}
		statements, _ := readAll(from)
		for _, s := range statements { // what is let through is never one of these
			if upper := strings.ToUpper(s.text); strings.HasPrefix(upper, "GRANT") || strings.HasPrefix(upper, "USE ") || strings.HasPrefix(upper, "DROP") {
				t.Errorf("let through: %q", s.text)
			}
		}
	})
}
