package sqlserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Hidden is something that the login sees otherwise than it is stored.
type Hidden struct {
	// Consent takes it as it is seen.
	Consent pipeline.Consent
	// Table and Column are where it is, as the catalog names them. Column is empty for a row policy.
	Table, Column string
	// What says in words what is hidden, and Remedy what to do about it.
	What, Remedy string
}

// Hidden finds the masked, row-secured and encrypted data that a source meets, itself or through views and functions. A query is judged by
// the names in its text, so more may be found than it reads. Where the login may neither see what a view, a function or a synonym reads nor
// what masks hide, that is found too. Row policies that it may not see aren't: Identity.PoliciesUnseen says so. t is the table of a source
// that is one; nil for a query.
func (s *Session) Hidden(ctx context.Context, x *Selection, t *Table) ([]Hidden, error) {
	columns, err := s.hiddenColumns(ctx)
	if err != nil {
		return nil, err
	}
	policies, err := s.rowPolicies(ctx)
	if err != nil {
		return nil, err
	}
	unmasked, known, err := s.hasDatabasePermission(ctx, "UNMASK")
	// Most databases hide nothing, which these say.
	if err != nil || len(columns) == 0 && len(policies) == 0 && (unmasked || !known) {
		return nil, err
	}
	met, err := s.objectsMet(ctx, x, t)
	if err != nil {
		return nil, err
	}
	var found []Hidden
	if known && !unmasked {
		if found, err = s.behind(ctx, met); err != nil {
			return nil, err
		}
	}
	for _, c := range columns {
		if !met.column(c) {
			continue
		}
		if c.encrypted {
			found = append(found, Hidden{
				pipeline.AcceptEncrypted, c.table, c.column, fmt.Sprintf("column %q of %s is encrypted by Always Encrypted, so what is read is ciphertext", c.column, c.table),
				"list it under dataset.drop, or give \"encryptedColumns\" under source.accept to have the ciphertext as binary",
			})
		}
		if !c.masked {
			continue
		}
		// From SQL Server 2022 on, the right can be given for a column.
		may := unmasked
		if !may {
			const sql = "SELECT HAS_PERMS_BY_NAME(@table, 'OBJECT', 'UNMASK', @column, 'COLUMN')"
			if may, err = s.may(ctx, sql, Param{"table", "nvarchar(600)", c.quoted}, Param{"column", "nvarchar(128)", c.column}); err != nil {
				return nil, err
			}
		}
		if !may {
			found = append(found, Hidden{
				pipeline.AcceptMasked, c.table, c.column, fmt.Sprintf("column %q of %s is masked for the pipeline's login, so what is read is not what is stored", c.column, c.table),
				"list it under dataset.drop, GRANT UNMASK to the login, or give \"maskedColumns\" under source.accept to take the masks for values",
			})
		}
	}
	for _, p := range policies {
		if met.objects[p.object] {
			found = append(found, Hidden{
				pipeline.AcceptRowSecurity, p.table, "", fmt.Sprintf("the security policy %s filters the rows of %s, so rows may be missing", p.policy, p.table),
				"let the policy's predicate pass the pipeline's login and then, or to take the rows that it leaves, give \"rowLevelSecurity\" under source.accept",
			})
		}
	}
	return found, nil
}

// behind names the views, functions and synonyms through which masked columns may come, where the login may not see what they read.
func (s *Session) behind(ctx context.Context, m met) ([]Hidden, error) {
	defined, known, err := s.hasDatabasePermission(ctx, "VIEW DEFINITION")
	// The definitions aren't enough: the view of the dependencies wants SELECT besides, and may be missing.
	if err != nil || !known || defined && m.dependencies {
		return nil, err
	}
	var found []Hidden
	for _, object := range m.indirect {
		found = append(found, Hidden{
			pipeline.AcceptMasked, object, "", fmt.Sprintf("what %s reads can't be seen by the pipeline's login, nor whether masked columns are among it", object),
			"name the base tables, GRANT VIEW DEFINITION on the database and SELECT ON sys.sql_expression_dependencies to the login (queries/grants/export-login.sql, See=policies), or give \"maskedColumns\" under source.accept to take what may be masks for values",
		})
	}
	return found, nil
}

// hiddenColumn is a masked or encrypted column of the database.
type hiddenColumn struct {
	object int64
	// table is the two-part name for messages, and quoted the one for the server.
	table, quoted, column string
	masked, encrypted     bool
}

func (s *Session) hiddenColumns(ctx context.Context) ([]hiddenColumn, error) {
	rows, _, err := s.ask(ctx, "the masked and encrypted columns", `SELECT c.object_id, SCHEMA_NAME(o.schema_id), o.name, c.name, c.is_masked, c.encryption_type
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
WHERE c.is_masked = 1 OR c.encryption_type IS NOT NULL
ORDER BY c.object_id, c.column_id`)
	var columns []hiddenColumn
	for _, r := range rows {
		c := hiddenColumn{encrypted: r[5] != nil}
		c.object, _ = r[0].(int64)
		schema, _ := r[1].(string)
		table, _ := r[2].(string)
		c.table, c.quoted = schema+"."+table, quote(schema)+"."+quote(table)
		c.column, _ = r[3].(string)
		c.masked, _ = r[4].(bool)
		columns = append(columns, c)
	}
	return columns, err
}

// rowPolicy is a predicate of a security policy that filters what is read of a table.
type rowPolicy struct {
	object        int64
	table, policy string
}

func (s *Session) rowPolicies(ctx context.Context) ([]rowPolicy, error) {
	rows, _, err := s.ask(ctx, "the security policies", `SELECT sp.target_object_id, SCHEMA_NAME(o.schema_id), o.name, p.name
FROM sys.security_policies AS p
JOIN sys.security_predicates AS sp ON sp.object_id = p.object_id
JOIN sys.objects AS o ON o.object_id = sp.target_object_id
WHERE p.is_enabled = 1 AND sp.predicate_type_desc = 'FILTER'
ORDER BY p.name, sp.target_object_id`)
	var policies []rowPolicy
	for _, r := range rows {
		var p rowPolicy
		p.object, _ = r[0].(int64)
		schema, _ := r[1].(string)
		table, _ := r[2].(string)
		p.table = schema + "." + table
		p.policy, _ = r[3].(string)
		policies = append(policies, p)
	}
	return policies, err
}

// may asks for a right. One that isn't known isn't there.
func (s *Session) may(ctx context.Context, sql string, params ...Param) (bool, error) {
	rows, _, err := s.ask(ctx, "the login's rights", sql, params...)
	if err != nil || len(rows) != 1 {
		return false, err
	}
	has, _ := rows[0][0].(int64)
	return has == 1, nil
}

// met is what a source meets.
type met struct {
	// objects are the tables that it names, and those that views, functions and synonyms that it names read.
	objects map[int64]bool
	// named are those that it names itself.
	named map[int64]bool
	// words are the names in a query in lower case; nil for a table, of which every column is read.
	words map[string]bool
	// indirect are the views, functions and synonyms that it names itself, and the tables of other databases, for messages.
	indirect []string
	// dependencies says that the login may read what the views name.
	dependencies bool
}

// column says whether a column may be read. Through a view it may have any name.
func (m met) column(c hiddenColumn) bool {
	if !m.objects[c.object] {
		return false
	}
	return m.words == nil || !m.named[c.object] || m.words["*"] || m.words[strings.ToLower(c.column)]
}

// dependencies is what messages call sys.sql_expression_dependencies.
const dependencies = "the dependencies of views"

func (s *Session) objectsMet(ctx context.Context, x *Selection, t *Table) (met, error) {
	m := met{objects: map[int64]bool{}, named: map[int64]bool{}}
	names := map[string]bool{}
	from := readFrom(x.query)
	if t != nil && x.table != "" {
		m.named[t.ObjectID] = true
	} else {
		for one := range tokens(x.query + x.table) {
			if one.kind != literal {
				names[strings.ToLower(one.text)] = true
			}
		}
		m.words = names
	}
	for _, name := range from.foreign {
		if database, rest, _ := strings.Cut(name, "."); !strings.EqualFold(database, s.login.Database) || strings.Count(rest, ".") > 1 {
			m.indirect = append(m.indirect, name)
		}
	}
	rows, _, err := s.ask(ctx, "the database's objects", "SELECT o.object_id, o.name, o.type, SCHEMA_NAME(o.schema_id) FROM sys.objects AS o WHERE o.type IN ('U', 'V', 'SN', 'IF', 'TF', 'FN', 'FS', 'FT') ORDER BY o.object_id")
	if err != nil {
		return m, err
	}
	base := map[int64]bool{}
	through := map[int64]string{}
	for _, r := range rows {
		id, _ := r[0].(int64)
		name, _ := r[1].(string)
		kind, _ := r[2].(string)
		schema, _ := r[3].(string)
		called := strings.ToLower(name)
		if names[called] {
			m.named[id] = true
		}
		var there bool
		switch kind = strings.TrimSpace(kind); {
		case kind == "U":
			base[id] = true
		case x.table != "":
			there = m.named[id]
		case kind == "V" || kind == "SN":
			there = from.names[called]
		default:
			there = from.calls[called]
		}
		if there {
			through[id] = schema + "." + name
		}
	}
	reads := map[int64][]int64{}
	for what, sql := range map[string]string{
		dependencies:   "SELECT d.referencing_id, d.referenced_id FROM sys.sql_expression_dependencies AS d WHERE d.referenced_id IS NOT NULL",
		"the synonyms": "SELECT y.object_id, OBJECT_ID(y.base_object_name) FROM sys.synonyms AS y",
	} {
		var known bool
		if rows, known, err = s.ask(ctx, what, sql); err != nil {
			return m, err
		}
		if what == dependencies {
			m.dependencies = known
		}
		for _, r := range rows {
			by, _ := r[0].(int64)
			of, ok := r[1].(int64)
			if !ok {
				continue
			}
			reads[by] = append(reads[by], of)
			if what != dependencies && base[of] {
				// A synonym of a table that the login sees hides nothing.
				delete(through, by)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(through)) {
		m.indirect = append(m.indirect, through[id])
	}
	var follow func(id int64)
	follow = func(id int64) {
		if m.objects[id] {
			return
		}
		m.objects[id] = true
		for _, of := range reads[id] {
			follow(of)
		}
	}
	for id := range m.named {
		follow(id)
	}
	return m, nil
}
