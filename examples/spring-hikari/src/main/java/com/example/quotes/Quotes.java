package com.example.quotes;

import com.zaxxer.hikari.HikariDataSource;
import java.lang.management.ManagementFactory;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.sql.DataSource;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.stereotype.Service;

/** Reads quotes through the pool. */
@Service
public class Quotes {

    private final JdbcTemplate jdbc;
    private final HikariDataSource pool;

    Quotes(JdbcTemplate jdbc, DataSource pool) {
        this.jdbc = jdbc;
        this.pool = (HikariDataSource) pool;
    }

    Map<String, Object> about(String topic) {
        // The backend's process number differs for each connection: it shows that a thawed function made new ones.
        Map<String, Object> row = jdbc.queryForMap(
                "SELECT text, pg_backend_pid() AS backend FROM quotes WHERE topic = ?", topic);
        Map<String, Object> answer = new LinkedHashMap<>(row);
        answer.put("connections", pool.getHikariPoolMXBean().getTotalConnections());
        answer.put("jvm", ManagementFactory.getRuntimeMXBean().getName() + "@" + ManagementFactory.getRuntimeMXBean().getStartTime());
        return answer;
    }
}
