-- One row per card transaction: what was known when it was authorised, and whether it turned out to be fraud.
--
-- The model takes numbers only, so categories become numbers here, where a reviewer sees what each one means, and not in
-- code beside the model. Columns that aren't selected (Note, DeviceId, CustomerId, MerchantId) never leave the database.
SELECT
    t.TransactionId,
    t.IsFraud,

    t.Amount,
    t.AvgAmount30d,
    -- How unusual the amount is for this card. NULLIF: a card's first transaction has no usual amount, and NULL says so.
    CAST(t.Amount AS float) / NULLIF(CAST(t.AvgAmount30d AS float), 0) AS AmountToUsual,

    DATEPART(hour, t.OccurredAt) AS HourOfDay,
    -- Monday is 0. DATEPART(weekday, ...) would depend on the session's DATEFIRST; 1900-01-01 was a Monday for everybody.
    DATEDIFF(day, '19000101', t.OccurredAt) % 7 AS DayOfWeek,

    t.CardPresent,
    CASE t.Channel
        WHEN 'pos' THEN 0
        WHEN 'atm' THEN 1
        WHEN 'app' THEN 2
        WHEN 'web' THEN 3
        WHEN 'phone' THEN 4
        ELSE 9
    END AS ChannelCode,
    CASE
        WHEN t.Country IN ('DE', 'AT', 'CH') THEN 0
        WHEN t.Country IN ('FR', 'NL', 'IT', 'ES', 'PL') THEN 1
        ELSE 2
    END AS CountryGroup,
    CASE WHEN t.Currency = 'EUR' THEN 0 ELSE 1 END AS ForeignCurrency,
    -- Merchant category codes are names, not quantities: only the groups that fraud prefers are told apart.
    CASE
        WHEN t.MerchantCategory = 5732 THEN 1                       -- electronics
        WHEN t.MerchantCategory = 5944 THEN 2                       -- jewellery
        WHEN t.MerchantCategory = 7995 THEN 3                       -- betting
        WHEN t.MerchantCategory IN (6010, 6011) THEN 4              -- cash
        ELSE 0
    END AS MerchantGroup,

    t.CustomerAgeDays,
    t.DistanceKm,                                                   -- NULL: the terminal gave no position
    t.TxLastHour,
    CASE WHEN t.DeviceId IS NULL THEN 0 ELSE 1 END AS KnownDevice
FROM dbo.Transactions AS t
-- Half a year up to the run: how fraud looked longer ago teaches little. The window slides with the run's scheduled time, so a
-- run that is made again reads the same days.
WHERE t.OccurredAt >= @windowStart
-- A chargeback takes up to two weeks to arrive. Before that "not fraud" only means "not yet known to be fraud", and a
-- model that learns from it learns that the newest fraud is honest.
AND t.OccurredAt < DATEADD(day, -14, @windowEnd)
