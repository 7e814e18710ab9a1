package com.example.quotes;

import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Plain Spring Boot: nothing in it knows of checkpoints. */
@SpringBootApplication
public class Application {
}
