-- Makes the login that exports read with: SELECT on the tables that the pipelines name, and what else -v See lists.
--
-- Run it with sqlcmd as a login that may create logins (on Amazon RDS, the master user), once for each database and again
-- whenever tables are added or the password changes. It may be run as often as one likes: afterwards the login has exactly
-- the rights on the list. The password comes from the environment, because other users see a command line:
--
--     read -rs ExportPassword && export ExportPassword     (type the password that the export's secret holds)
--     sqlcmd -S tcp:sqlserver.example.com,1433 -N -U admin -i queries/grants/export-login.sql \
--         -v ExportLogin=pipeline_export DatabaseName=shop Tables="dbo.Transactions,dbo.Customers,dbo.Sales" \
--         See=nothing
--
-- -N has sqlcmd verify the server's certificate. Amazon signs those of RDS itself: put its bundle into the system's trust
-- store first (https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem), and don't switch the check off with -C.
--
-- sqlcmd asks for the master user's password. The export's password may have neither a quote nor a dollar sign; those that
-- this project's stacks generate have none.
--
-- Every load of a table needs SELECT and no more: the server tells who may read a table also its columns, indexes, masks and encryption, and to
-- anybody its row versions. Of a view or a function it tells neither what they read nor whether that is masked. What else the login may see is the database owner's to decide. -v See=nothing, or one or more of these words with commas:
--
--     transactions   names the session that holds an append load by rowversion back, when a transaction stays open. Without it the export
--                    says that it is held back, and not by whom. VIEW SERVER STATE (from 2022 on VIEW SERVER PERFORMANCE STATE). It is the
--                    login's on the whole server, not the database's: with several databases, list it in the run for each of them, because
--                    a run that doesn't list it takes it back.
--     statistics     divides a large table (source.partitionBy) by its histogram, on servers that ask for more than SELECT there. Without it
--                    the ranges are even between the lowest and the highest value. VIEW DATABASE STATE (from 2022 on VIEW DATABASE
--                    PERFORMANCE STATE).
--     policies       finds row-level security on the tables, and masked columns behind views, functions and synonyms. Without it an export
--                    doesn't know that rows are hidden from it, and refuses views until what may be masks is accepted. VIEW DEFINITION on the
--                    database, which shows the login the text of every view, function and procedure in it, and SELECT on
--                    sys.sql_expression_dependencies, which shows what they name.
--
-- What it never grants: UNMASK. A column with a dynamic mask would be exported masked, so the export refuses it by name: take it out of the
-- query, list it under dataset.drop, or have its owner decide to GRANT UNMASK.
:on error exit

SET NOCOUNT ON;
SET XACT_ABORT ON;

-- The login, on the server ----------------------------------------------------------------------------------------------

USE [master];
GO

DECLARE @login sysname = N'$(ExportLogin)';
DECLARE @password nvarchar(128) = N'$(ExportPassword)';
DECLARE @statement nvarchar(max);

IF DB_ID(N'$(DatabaseName)') IS NULL
    THROW 50001, N'There is no database $(DatabaseName) on this server: create it first, or correct -v DatabaseName.', 1;

IF @login = SUSER_SNAME() OR IS_SRVROLEMEMBER(N'sysadmin', @login) = 1
    THROW 50002, N'$(ExportLogin) is an administrator: name a login of its own for exports.', 1;

IF LEN(@password) < 16
    THROW 50003, N'ExportPassword is shorter than 16 characters: take the one from the secret.', 1;

-- A misspelt word would be a right that somebody thinks is there.
DECLARE @words nvarchar(max) = REPLACE(N'$(See)', N' ', N'') + N',';
DECLARE @word nvarchar(60);
DECLARE @message nvarchar(2048);
WHILE CHARINDEX(N',', @words) > 0
BEGIN
    SET @word = LEFT(@words, CHARINDEX(N',', @words) - 1);
    SET @words = STUFF(@words, 1, CHARINDEX(N',', @words), N'');
    IF @word NOT IN (N'nothing', N'transactions', N'statistics', N'policies')
    BEGIN
        SET @message = N'"' + @word + N'" in -v See is none of nothing, transactions, statistics and policies.';
        THROW 50005, @message, 1;
    END;
END;

-- CREATE LOGIN takes no variables, so the statement is put together; QUOTENAME keeps a name or password from ending early.
IF SUSER_ID(@login) IS NULL
    SET @statement = N'CREATE LOGIN ' + QUOTENAME(@login)
        + N' WITH PASSWORD = N' + QUOTENAME(@password, N'''') + N', CHECK_POLICY = ON, CHECK_EXPIRATION = OFF';
ELSE
    SET @statement = N'ALTER LOGIN ' + QUOTENAME(@login) + N' WITH PASSWORD = N' + QUOTENAME(@password, N'''');
EXEC sys.sp_executesql @statement;

-- As text, because a server refuses a batch with a permission that its version doesn't know.
DECLARE @transactions nvarchar(60) = CASE WHEN CAST(SERVERPROPERTY('ProductMajorVersion') AS int) >= 16 THEN N'VIEW SERVER PERFORMANCE STATE' ELSE N'VIEW SERVER STATE' END;
IF CHARINDEX(N',transactions,', N',' + REPLACE(N'$(See)', N' ', N'') + N',') > 0
    SET @statement = N'GRANT ' + @transactions + N' TO ' + QUOTENAME(@login);
ELSE IF EXISTS (SELECT 1 FROM sys.server_permissions AS p
        WHERE p.grantee_principal_id = SUSER_ID(@login) AND p.class = 100 AND p.permission_name = @transactions AND p.state IN ('G', 'W'))
    -- Only what was granted: not every administrator may revoke what is the server's, as on Amazon RDS.
    SET @statement = N'REVOKE ' + @transactions + N' FROM ' + QUOTENAME(@login);
ELSE
    SET @statement = N'';
EXEC sys.sp_executesql @statement;
GO

-- The user and its role, in the database --------------------------------------------------------------------------------

USE [$(DatabaseName)];
GO

DECLARE @login sysname = N'$(ExportLogin)';
DECLARE @statement nvarchar(max);

IF DATABASE_PRINCIPAL_ID(@login) IS NULL
    SET @statement = N'CREATE USER ' + QUOTENAME(@login) + N' FOR LOGIN ' + QUOTENAME(@login);
ELSE
    -- After a restore the user is there and belongs to nobody: its login has another SID on this server.
    SET @statement = N'ALTER USER ' + QUOTENAME(@login) + N' WITH LOGIN = ' + QUOTENAME(@login);
EXEC sys.sp_executesql @statement;

IF DATABASE_PRINCIPAL_ID(N'pipeline_reader') IS NULL
    CREATE ROLE [pipeline_reader];

IF IS_ROLEMEMBER(N'pipeline_reader', @login) = 0
BEGIN
    SET @statement = N'ALTER ROLE [pipeline_reader] ADD MEMBER ' + QUOTENAME(@login);
    EXEC sys.sp_executesql @statement;
END;

-- A DENY goes before whatever somebody grants to the user or one of its roles later.
SET @statement = N'DENY INSERT, UPDATE, DELETE, ALTER TO ' + QUOTENAME(@login);
EXEC sys.sp_executesql @statement;
GO

-- SELECT on the tables, and on no other ---------------------------------------------------------------------------------

DECLARE @tables nvarchar(max) = N'$(Tables)' + N',';
DECLARE @table nvarchar(517);
DECLARE @object int;
DECLARE @wanted TABLE (ObjectId int NOT NULL PRIMARY KEY);
DECLARE @message nvarchar(2048);
DECLARE @statement nvarchar(max);

-- All of the list or nothing: a misspelt table must not leave the login without the others.
BEGIN TRANSACTION;

-- By hand and not by STRING_SPLIT, which a database restored from an older server doesn't have (compatibility level 130).
WHILE CHARINDEX(N',', @tables) > 0
BEGIN
    SET @table = LTRIM(RTRIM(LEFT(@tables, CHARINDEX(N',', @tables) - 1)));
    SET @tables = STUFF(@tables, 1, CHARINDEX(N',', @tables), N'');
    SET @object = OBJECT_ID(@table);

    IF @object IS NULL OR PARSENAME(@table, 2) IS NULL OR PARSENAME(@table, 3) IS NOT NULL
    BEGIN
        SET @message = N'There is no table "' + @table + N'" in $(DatabaseName): write schema.name, comma-separated, in -v Tables.';
        THROW 50004, @message, 1;
    END;

    IF NOT EXISTS (SELECT 1 FROM @wanted WHERE ObjectId = @object)
        INSERT INTO @wanted (ObjectId) VALUES (@object);

    SET @statement = N'GRANT SELECT ON ' + QUOTENAME(OBJECT_SCHEMA_NAME(@object)) + N'.' + QUOTENAME(OBJECT_NAME(@object)) + N' TO [pipeline_reader]';
    EXEC sys.sp_executesql @statement;
END;

-- What an earlier list granted and this one doesn't name.
SET @object = 0;
WHILE @object IS NOT NULL
BEGIN
    SET @object = (
        SELECT MIN(p.major_id)
        FROM sys.database_permissions AS p
        WHERE p.grantee_principal_id = DATABASE_PRINCIPAL_ID(N'pipeline_reader')
            AND p.class = 1
            AND p.permission_name = N'SELECT'
            AND p.major_id > 0 -- the server's own views are below
            AND p.major_id NOT IN (SELECT w.ObjectId FROM @wanted AS w));

    IF @object IS NOT NULL
    BEGIN
        SET @statement = N'REVOKE SELECT ON ' + QUOTENAME(OBJECT_SCHEMA_NAME(@object)) + N'.' + QUOTENAME(OBJECT_NAME(@object)) + N' FROM [pipeline_reader]';
        EXEC sys.sp_executesql @statement;
    END;
END;

-- What the login may see besides, at what the list says: granted or taken back.
DECLARE @see nvarchar(max) = N',' + REPLACE(N'$(See)', N' ', N'') + N',';
DECLARE @statistics nvarchar(60) = CASE WHEN CAST(SERVERPROPERTY('ProductMajorVersion') AS int) >= 16 THEN N'VIEW DATABASE PERFORMANCE STATE' ELSE N'VIEW DATABASE STATE' END;

IF CHARINDEX(N',statistics,', @see) > 0
    SET @statement = N'GRANT ' + @statistics + N' TO [pipeline_reader]';
ELSE
    SET @statement = N'REVOKE ' + @statistics + N' FROM [pipeline_reader]';
EXEC sys.sp_executesql @statement;

IF CHARINDEX(N',policies,', @see) > 0
    SET @statement = N'GRANT VIEW DEFINITION TO [pipeline_reader]; GRANT SELECT ON sys.sql_expression_dependencies TO [pipeline_reader]';
ELSE
    SET @statement = N'REVOKE VIEW DEFINITION FROM [pipeline_reader]; REVOKE SELECT ON sys.sql_expression_dependencies FROM [pipeline_reader]';
EXEC sys.sp_executesql @statement;

COMMIT TRANSACTION;
GO

-- What the login may do now: CONNECT, the denials, SELECT on the tables, and what else it may see ----------------------------------------------

SELECT
    USER_NAME(p.grantee_principal_id) AS Grantee,
    p.state_desc AS State,
    p.permission_name AS Permission,
    CASE p.class
        WHEN 1 THEN OBJECT_SCHEMA_NAME(p.major_id) + N'.' + OBJECT_NAME(p.major_id)
        ELSE N'the database'
    END AS OnWhat
FROM sys.database_permissions AS p
WHERE p.grantee_principal_id IN (DATABASE_PRINCIPAL_ID(N'$(ExportLogin)'), DATABASE_PRINCIPAL_ID(N'pipeline_reader'))
ORDER BY Grantee, State, Permission, OnWhat;
GO
