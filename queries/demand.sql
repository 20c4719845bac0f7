-- One row per day, shop and item: the quantity sold, and what was known about it on the evening before.
--
-- The lags are computed by the server, over the whole table, because a lag needs its neighbours: a row that is exported
-- without them can't get them back. The windows end at 1 PRECEDING, so that no feature knows the quantity it predicts.
SELECT
    w.SaleDate,
    w.ShopId,
    w.ItemId,
    w.Quantity,

    w.Price,
    -- Demand follows the price relative to what the item usually costs there.
    w.PriceToUsual,
    w.Promo,
    w.DayOfWeek,
    w.DayOfYear,
    w.QuantityLag1,
    w.QuantityLag7,
    w.QuantityLag14,
    w.QuantityLag28,
    w.QuantityAvg7,
    w.QuantityAvg28
FROM (
    SELECT
        s.SaleDate,
        s.ShopId,
        s.ItemId,
        s.Quantity,
        s.Price,
        CAST(s.Price AS float) / AVG(CAST(s.Price AS float)) OVER (
            PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate
            ROWS BETWEEN 28 PRECEDING AND 1 PRECEDING) AS PriceToUsual,
        s.Promo,
        -- Monday is 0, whatever the session's DATEFIRST says: 1900-01-01 was a Monday.
        DATEDIFF(day, '19000101', s.SaleDate) % 7 AS DayOfWeek,
        DATEPART(dayofyear, s.SaleDate) AS DayOfYear,
        LAG(s.Quantity, 1) OVER (PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate) AS QuantityLag1,
        LAG(s.Quantity, 7) OVER (PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate) AS QuantityLag7,
        LAG(s.Quantity, 14) OVER (PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate) AS QuantityLag14,
        LAG(s.Quantity, 28) OVER (PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate) AS QuantityLag28,
        -- AVG of an int is an int in T-SQL: without the CAST the averages would lose their fractions.
        AVG(CAST(s.Quantity AS float)) OVER (
            PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate
            ROWS BETWEEN 7 PRECEDING AND 1 PRECEDING) AS QuantityAvg7,
        AVG(CAST(s.Quantity AS float)) OVER (
            PARTITION BY s.ShopId, s.ItemId ORDER BY s.SaleDate
            ROWS BETWEEN 28 PRECEDING AND 1 PRECEDING) AS QuantityAvg28
    FROM dbo.Sales AS s
    -- The day of the run isn't over: its quantities are still growing.
    WHERE s.SaleDate < CAST(@runTime AS date)
) AS w
-- The first four weeks of an item in a shop have no full history.
WHERE w.QuantityLag28 IS NOT NULL
