"""A cell as containers: one description of its services, written for Compose, Swarm and Kubernetes.

Reading order: services (what there is), then any of compose, swarm, kubernetes (how it is said).
"""
